"""Sealed files: any altered bit is noticed, and a file is written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from lusfx.cache import sealed
from lusfx.errors import CacheError, CorruptRecordError

BODY = bytes(range(256)) * 5


def test_a_sealed_body_is_given_back() -> None:
    assert bytes(sealed.open_seal(sealed.seal(BODY) + BODY)) == BODY


def test_every_bit_of_the_seal_and_a_thousand_of_the_body_are_guarded() -> None:
    content = sealed.seal(BODY) + BODY
    positions = [*range(sealed.SEAL_BYTES), *np.random.default_rng(0).integers(sealed.SEAL_BYTES, len(content), 1000)]
    for position in positions:
        for bit in (0, 7):
            altered = bytearray(content)
            altered[position] ^= 1 << bit
            with pytest.raises(CorruptRecordError):
                sealed.open_seal(bytes(altered))


@pytest.mark.parametrize("length", [0, 1, 511, 512, 700, 1791])
def test_a_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(CorruptRecordError):
        sealed.open_seal((sealed.seal(BODY) + BODY)[:length])


def test_what_follows_the_body_is_refused() -> None:
    with pytest.raises(CorruptRecordError):
        sealed.open_seal(sealed.seal(BODY) + BODY + b"\0")


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    target = tmp_path / "file"
    sealed.write_whole(target, b"old")

    def fail(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(sealed.os, call, fail)
    with pytest.raises(CacheError, match=os.strerror(code)):
        sealed.write_whole(target, b"new")
    monkeypatch.undo()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(sealed.os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:100]))
    sealed.write_whole(tmp_path / "file", BODY)
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_only_the_owner_can_read(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        sealed.write_whole(tmp_path / "a" / "b" / "file", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "b" / "file").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700


@pytest.mark.parametrize("nth", range(6))
def test_a_disk_that_fills_up_at_any_write_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    real, calls = os.write, iter(range(100))

    def fill_up(descriptor: int, data: memoryview) -> int:
        if next(calls) == nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, bytes(data)[:200])

    monkeypatch.setattr(sealed.os, "write", fill_up)
    with pytest.raises(CacheError, match="No space left"):
        sealed.write_whole(tmp_path / "file", BODY)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file size limit")
def test_a_file_size_limit_is_a_clear_error(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
    try:
        with pytest.raises(CacheError, match="File too large"):
            sealed.write_whole(tmp_path / "file", BODY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sealed.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sealed.write_whole(tmp_path / "file", BODY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot sync directories")
def test_new_directories_are_as_durable_as_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    real = sealed.sync_directory
    monkeypatch.setattr(sealed, "sync_directory", lambda path: (synced.append(path), real(path)))
    sealed.write_whole(tmp_path / "a" / "b" / "file", b"x")
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]


def test_a_file_system_that_cannot_sync_directories_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(sealed.os, "fsync", fsync)
    sealed.write_whole(tmp_path / "file", BODY)
    assert (tmp_path / "file").read_bytes() == BODY
