"""The stat index: it may forget, and never remembers wrongly."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lusfx.cache import Stamp, StatIndex
from lusfx.cache import stat_index as module
from lusfx.site_key import SiteKey

KEY = "ab" * 32


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"content")
    return path


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "RACY_NS", 0)
    return tmp_path / "index.sqlite"


def record(file: Path, clip: Path, site_key: SiteKey) -> None:
    with StatIndex(file, site_key) as index:
        index.record(clip, Stamp.of(clip), KEY)


def test_an_unchanged_file_is_known_by_the_next_run(file: Path, clip: Path, site_key: SiteKey) -> None:
    record(file, clip, site_key)
    with StatIndex(file, site_key) as index:
        assert index.lookup(clip) == KEY


def test_a_file_replaced_in_place_is_a_miss(file: Path, clip: Path, site_key: SiteKey) -> None:
    record(file, clip, site_key)
    clip.write_bytes(b"CONTENT")
    os.utime(clip, ns=(0, 0))
    with StatIndex(file, site_key) as index:
        assert index.lookup(clip) is None


def test_same_size_and_times_but_another_file_is_a_miss(file: Path, clip: Path, site_key: SiteKey) -> None:
    record(file, clip, site_key)
    status = clip.stat()
    other = clip.with_name("other")
    other.write_bytes(b"CONTENT")
    other.replace(clip)
    os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))
    with StatIndex(file, site_key) as index:
        assert index.lookup(clip) is None


def test_a_vanished_file_is_a_miss(file: Path, clip: Path, site_key: SiteKey) -> None:
    record(file, clip, site_key)
    clip.unlink()
    with StatIndex(file, site_key) as index:
        assert index.lookup(clip) is None


def test_a_file_changed_just_now_is_not_trusted(tmp_path: Path, clip: Path, site_key: SiteKey) -> None:
    record(tmp_path / "index.sqlite", clip, site_key)
    with StatIndex(tmp_path / "index.sqlite", site_key) as index:
        assert index.lookup(clip) is None


def test_a_damaged_index_is_made_anew(file: Path, clip: Path, site_key: SiteKey) -> None:
    record(file, clip, site_key)
    file.write_bytes(b"not a database" * 500)
    with StatIndex(file, site_key) as index:
        assert index.lookup(clip) is None
        index.record(clip, Stamp.of(clip), KEY)
    with StatIndex(file, site_key) as index:
        assert index.lookup(clip) == KEY


def test_no_path_is_stored(file: Path, clip: Path, site_key: SiteKey) -> None:
    record(file, clip, site_key)
    assert b"clip.mp4" not in file.read_bytes()


def test_another_site_key_knows_nothing(file: Path, clip: Path, site_key: SiteKey) -> None:
    record(file, clip, site_key)
    with StatIndex(file, SiteKey(bytes(32))) as index:
        assert index.lookup(clip) is None


def test_where_it_cannot_be_written_nothing_happens(tmp_path: Path, clip: Path, site_key: SiteKey) -> None:
    with StatIndex(tmp_path / "missing" / "index.sqlite", site_key) as index:
        index.record(clip, Stamp(1, 0, 0, 0), KEY)
    assert not (tmp_path / "missing").exists()
