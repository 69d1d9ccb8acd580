"""Files are put in place whole or not at all, for their owner only, and whatever ends the writing leaves nothing behind."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lusfx import durable
from lusfx.durable import exchange, make_directory, whole_file, write_whole

CONTENT = bytes(range(256)) * 5


def write_as_a_stream(path: Path, *parts: bytes) -> None:
    """As a table is written: through a buffered stream."""
    with whole_file(path) as descriptor, os.fdopen(descriptor, "w+b", closefd=False) as stream:
        stream.writelines(parts)


WAYS = pytest.mark.parametrize("write", [write_whole, write_as_a_stream])
Write = Callable[..., None]


def failing(code: int) -> Callable[..., None]:
    def fail(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@WAYS
def test_parts_are_put_in_place_of_what_was_there(tmp_path: Path, write: Write) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old and longer than what comes")
    write(target, b"new", b"", CONTENT)
    assert target.read_bytes() == b"new" + CONTENT
    assert list(tmp_path.iterdir()) == [target]


@WAYS
@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write, call: str, code: int
) -> None:
    target = tmp_path / "file"
    write(target, b"old")
    monkeypatch.setattr(os, call, failing(code))
    with pytest.raises(OSError, match=os.strerror(code)):
        write(target, b"new")
    monkeypatch.undo()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("nth", range(7))
def test_a_disk_that_fills_up_at_any_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    target = tmp_path / "file"
    write_whole(target, b"old")
    real, calls = os.write, iter(range(100))

    def fill_up(descriptor: int, data: memoryview) -> int:
        if next(calls) == nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, bytes(data)[:200])

    monkeypatch.setattr(os, "write", fill_up)
    with pytest.raises(OSError, match="No space left"):
        write_whole(target, CONTENT)
    monkeypatch.undo()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@WAYS
@pytest.mark.skipif(os.name == "nt", reason="Windows has no file size limit")
def test_a_file_size_limit_leaves_no_file(tmp_path: Path, write: Write) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(tmp_path / "file", CONTENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:100]))
    write_whole(tmp_path / "file", CONTENT)
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == CONTENT


@WAYS
def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "file", CONTENT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt(), OSError(errno.EIO, "x")])
def test_content_that_fails_while_it_is_made_is_not_put_in_place(tmp_path: Path, error: BaseException) -> None:
    def write() -> None:
        with whole_file(tmp_path / "file") as descriptor:
            os.write(descriptor, b"half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_program_leaves_bears_the_prefix(tmp_path: Path) -> None:
    with whole_file(tmp_path / "file"):
        (temporary,) = tmp_path.iterdir()
        assert temporary.name.startswith(durable.TEMPORARY_PREFIX)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_only_the_owner_can_read(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_directory(tmp_path / "a" / "b")
        write_whole(tmp_path / "a" / "b" / "file", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "b" / "file").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot sync directories")
def test_new_directories_are_as_durable_as_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    real = durable.sync_directory
    monkeypatch.setattr(durable, "sync_directory", lambda path: (synced.append(path), real(path)))
    make_directory(tmp_path / "a" / "b")
    write_whole(tmp_path / "a" / "b" / "file", b"x")
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]


def test_a_file_system_that_cannot_sync_directories_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(tmp_path / "file", CONTENT)
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot exchange names")
def test_two_directories_exchange_their_names(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    if not exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot exchange names")
    assert (tmp_path / "a" / "b").read_text() == "b"
    assert (tmp_path / "b" / "a").read_text() == "a"
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "missing")


def test_where_names_cannot_be_exchanged_nothing_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "other")
    assert not exchange(tmp_path / "a", tmp_path / "b")
