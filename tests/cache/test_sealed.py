"""Sealed files: any altered bit is noticed, and a file is written whole or not at all."""

from __future__ import annotations

import errno
import os
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


@pytest.mark.parametrize("call", ["write", "mkdir"])
def test_a_failing_disk_is_a_cache_error_that_names_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "DOE")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(CacheError, match="the cache cannot be written: No space left") as caught:
        sealed.write_whole(tmp_path / "clips" / "file", BODY)
    assert "DOE" not in str(caught.value)


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


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_directory_that_is_missing_is_made_for_the_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        sealed.write_whole(tmp_path / "a" / "b" / "file", b"x")
    finally:
        os.umask(before)
    modes = [(tmp_path / place).stat().st_mode & 0o777 for place in ("a", "a/b", "a/b/file")]
    assert modes == [0o700, 0o700, 0o600]
