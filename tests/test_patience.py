"""A disk that refuses for a moment is asked again, a few times and ever more slowly; one that refuses for good says so."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lusfx import durable, patience
from lusfx.patience import insist, link, remove, replace
from lusfx.site_key import SiteKey

PASSING = [errno.EACCES, errno.EPERM, errno.EBUSY, errno.ESTALE, errno.EIO, errno.ETIMEDOUT]


def refused(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def refusing(real: Callable[..., None], code: int, times: int, done: bool = False) -> Callable[..., None]:
    """A system call that is refused so many times; what it was asked is done all the same where ``done``."""
    left = iter(range(times))

    def call(*arguments: object, **options: object) -> None:
        if next(left, None) is None:
            return real(*arguments, **options)
        if done:
            real(*arguments, **options)
        raise refused(code)

    return call


@pytest.mark.parametrize("code", PASSING)
@pytest.mark.parametrize("times", [1, len(patience.PAUSES_S)])
def test_a_refused_rename_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, times: int) -> None:
    monkeypatch.setattr(os, "replace", refusing(os.replace, code, times))
    durable.write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("code", PASSING)
def test_a_disk_that_refuses_for_good_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "replace", refusing(os.replace, code, 100))
    with pytest.raises(OSError, match=os.strerror(code)):
        durable.write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.ENOENT, errno.EXDEV])
def test_what_does_not_pass_is_told_at_once(code: int) -> None:
    calls = []

    def fail() -> None:
        calls.append(code)
        raise refused(code)

    with pytest.raises(OSError, match=os.strerror(code)):
        insist(fail)
    assert len(calls) == 1


def test_the_pauses_grow_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the pauses as they are for users
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with pytest.raises(PermissionError):
        insist(refusing(lambda: None, errno.EACCES, 100))
    assert pauses == sorted(pauses)
    assert pauses[0] > 0
    assert 1 <= sum(pauses) <= 2


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
def test_a_rename_that_was_done_though_it_was_refused_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As NFS does, where the answer to the first try was lost."""
    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.setattr(os, "replace", refusing(os.replace, code, 1, done=True))
    replace(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"a"


def test_a_file_that_somebody_took_away_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")

    def take_away(source: Path, target: Path) -> None:
        source.unlink(missing_ok=True)
        raise refused(errno.ENOENT)

    monkeypatch.setattr(os, "replace", take_away)
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"b"


@pytest.mark.parametrize("done", [False, True])
def test_a_refused_link_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: bool) -> None:
    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.setattr(os, "link", refusing(os.link, errno.EIO, 1, done))
    link(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"a"


def test_a_link_takes_nobodys_place(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    with pytest.raises(FileExistsError):
        link(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"b"


def test_a_site_key_is_made_on_a_disk_that_refuses_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refusing(os.link, errno.EBUSY, 2))
    made = SiteKey.load(tmp_path / "site.key").patient("x")
    assert SiteKey.load(tmp_path / "site.key").patient("x") == made
    assert len(list(tmp_path.iterdir())) == 1


def test_a_refused_removal_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"a")
    real, left = Path.unlink, iter(range(2))

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if next(left, None) is not None:
            raise refused(errno.EBUSY)
        real(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    remove(tmp_path / "a")
    remove(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
