"""The stat index: it may forget, and never remembers wrongly."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from lusfx import plain_file
from lusfx.cache import Stamp, StatIndex, stat_index
from lusfx.site_key import SiteKey

KEY = "ab" * 32


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"content")
    return path


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(plain_file, "RACY_NS", 0)
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
        index.record(clip, Stamp(1, 0, 0, 0, 0), KEY)
    assert not (tmp_path / "missing").exists()


def test_a_stamp_is_judged_when_it_is_taken(tmp_path: Path, clip: Path, site_key: SiteKey) -> None:
    """Hashing and encoding may take minutes: by then the file looks old, and may have changed right after it was read."""
    now = clip.stat().st_ctime_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_file.time, "time_ns", lambda: now + plain_file.RACY_NS // 2)
        stamp = Stamp.of(clip)
    with pytest.MonkeyPatch.context() as patch, StatIndex(tmp_path / "index.sqlite", site_key) as index:
        patch.setattr(plain_file.time, "time_ns", lambda: now + 100 * plain_file.RACY_NS)
        index.record(clip, stamp, KEY)
        assert index.lookup(clip) is None


def test_an_old_file_is_trusted_with_the_real_margin(tmp_path: Path, clip: Path, site_key: SiteKey) -> None:
    now = clip.stat().st_ctime_ns
    with pytest.MonkeyPatch.context() as patch, StatIndex(tmp_path / "index.sqlite", site_key) as index:
        patch.setattr(plain_file.time, "time_ns", lambda: now + 2 * plain_file.RACY_NS)
        index.record(clip, Stamp.of(clip), KEY)
        assert index.lookup(clip) == KEY


def test_only_regular_files_have_stamps(tmp_path: Path) -> None:
    assert Stamp.of(tmp_path) is None
    assert Stamp.of(tmp_path / "missing") is None
    assert Stamp.of(Path("a\0b")) is None


def test_flipped_bits_make_it_forget_but_never_lie(file: Path, clip: Path, site_key: SiteKey) -> None:
    others = [clip.with_name(f"{number}.mp4") for number in range(20)]
    with StatIndex(file, site_key) as index:
        index.record(clip, Stamp.of(clip), KEY)
        for number, other in enumerate(others):
            other.write_bytes(b"x")
            index.record(other, Stamp.of(other), f"{number:064x}")
    original = file.read_bytes()
    generator = np.random.default_rng(5)
    kept = 0
    for position, bit in zip(generator.integers(0, len(original), 400), generator.integers(0, 8, 400), strict=True):
        altered = bytearray(original)
        altered[position] ^= 1 << int(bit)
        file.write_bytes(altered)
        with StatIndex(file, site_key) as index:
            found = index.lookup(clip)
            assert found in (KEY, None)
            kept += found == KEY
            for number, other in enumerate(others):
                assert index.lookup(other) in (f"{number:064x}", None)
    assert kept > 200  # it does not forget everything either


def test_an_index_of_another_layout_is_made_anew(file: Path, clip: Path, site_key: SiteKey) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE clips (place TEXT, stamp TEXT)")
    record(file, clip, site_key)
    with StatIndex(file, site_key) as index:
        assert index.lookup(clip) == KEY


def test_an_index_that_another_process_is_writing_is_left_alone(
    file: Path, clip: Path, site_key: SiteKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(file, clip, site_key)
    real = sqlite3.connect
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(
            stat_index.sqlite3, "connect", lambda name, uri=False, timeout=0: real(name, uri=uri, timeout=0)
        )
        with StatIndex(file, site_key) as index:
            assert index.lookup(clip) is None
        writer.execute("ROLLBACK")
    with StatIndex(file, site_key) as index:
        assert index.lookup(clip) == KEY


def test_what_is_new_is_written_while_the_run_goes_on(
    file: Path, clip: Path, site_key: SiteKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stat_index, "SAVE_EVERY", 2)
    places = [clip.with_name(str(number)) for number in range(5)]
    index = StatIndex(file, site_key)  # never left: the run is killed
    for place in places:
        place.write_bytes(b"x")
        index.record(place, Stamp.of(place), KEY)
    with StatIndex(file, site_key) as reader:
        assert [reader.lookup(place) for place in places] == [KEY] * 4 + [None]


def test_two_runs_at_once_both_write(file: Path, clip: Path, site_key: SiteKey) -> None:
    other = clip.with_name("other.mp4")
    other.write_bytes(b"x")
    with StatIndex(file, site_key) as first, StatIndex(file, site_key) as second:
        first.record(clip, Stamp.of(clip), KEY)
        second.record(other, Stamp.of(other), "cd" * 32)
    with StatIndex(file, site_key) as index:
        assert (index.lookup(clip), index.lookup(other)) == (KEY, "cd" * 32)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_writer_killed_within_its_transaction_costs_nothing(file: Path, clip: Path, site_key: SiteKey) -> None:
    record(file, clip, site_key)
    program = (
        "import os, signal, sqlite3, sys\n"
        "d = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "d.execute('PRAGMA cache_size = 1')\n"
        "d.execute('BEGIN')\n"
        "d.executemany('INSERT INTO clips VALUES (?, ?, ?, 0)', ((str(n), 'x' * 500, 'y') for n in range(5000)))\n"
        "d.execute('UPDATE clips SET clip = ?', ('wrong',))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(file)], check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert file.with_name(file.name + "-journal").exists()  # else nothing was tested
    with StatIndex(file, site_key) as index:
        assert index.lookup(clip) == KEY


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_only_the_owner_can_read_the_index(file: Path, clip: Path, site_key: SiteKey) -> None:
    before = os.umask(0)
    try:
        record(file, clip, site_key)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


# ---- an index from elsewhere ---------------------------------------------------------------------------------------------


def rows_of(file: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT place, stamp, clip, crc32 FROM clips").fetchall()


@pytest.mark.parametrize("clip_key", [1, 1.5, b"ab" * 32, "", "AB" * 32, "x" * 1000])
def test_a_row_is_not_believed_for_its_check(file: Path, clip: Path, site_key: SiteKey, clip_key: object) -> None:
    record(file, clip, site_key)
    ((place, stamp, _, _),) = rows_of(file)
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        checked = zlib.crc32(f"{place}\t{stamp}\t{clip_key}".encode())
        database.execute("UPDATE clips SET clip = ?, crc32 = ?", (clip_key, checked))
    with StatIndex(file, site_key) as index:
        assert index.lookup(clip) is None


@pytest.mark.parametrize("schema", [
    "CREATE VIEW clips AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT i AS place, i AS stamp, i AS clip, i AS crc32 FROM n",
    "CREATE TABLE clips (place, stamp, clip, crc32); CREATE TRIGGER t AFTER INSERT ON clips BEGIN DELETE FROM clips; END",
    "CREATE TABLE other (x)",
])  # fmt: skip
def test_another_schema_is_no_index(file: Path, clip: Path, site_key: SiteKey, schema: str) -> None:
    """What is called as the table may be a view that never ends."""
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.executescript(schema)
    record(file, clip, site_key)
    with StatIndex(file, site_key) as index:
        assert index.lookup(clip) == KEY


@pytest.mark.skipif(os.name == "nt", reason="making links needs a privilege on Windows")
@pytest.mark.parametrize("ending", ["", "-journal", "-wal", "-shm"])
@pytest.mark.parametrize("kind", ["pipe", "link", "dangling link"])
def test_an_index_that_is_no_plain_file_is_made_anew(
    tmp_path: Path, file: Path, clip: Path, site_key: SiteKey, ending: str, kind: str
) -> None:
    victim = tmp_path / "victim"
    if kind == "link":
        record(victim, clip, site_key)
    before = victim.read_bytes() if victim.exists() else None
    record(file, clip, site_key)
    place = file.with_name(file.name + ending)
    place.unlink(missing_ok=True)
    os.mkfifo(place) if kind == "pipe" else place.symlink_to(victim)
    record(file, clip, site_key)
    with StatIndex(file, site_key) as index:
        assert index.lookup(clip) == KEY
    assert (victim.read_bytes() if victim.exists() else None) == before


def test_a_journal_that_names_another_file_is_not_played_back(
    tmp_path: Path, file: Path, clip: Path, site_key: SiteKey
) -> None:
    """SQLite would remove that file after playing it back."""
    record(file, clip, site_key)
    victim = tmp_path / "thesis.txt"
    victim.write_bytes(b"precious")
    name = str(victim).encode()
    checksum = sum(byte if byte < 128 else byte - 256 for byte in name) & 0xFFFFFFFF
    head = bytes.fromhex("d9d505f920a163d7") + struct.pack(">5I", 0, 0, 1, 512, 4096)
    ending = struct.pack(">I", 2**30 // 4096 + 1) + name + struct.pack(">2I", len(name), checksum)
    file.with_name(file.name + "-journal").write_bytes(
        head.ljust(512, b"\0") + ending + bytes.fromhex("d9d505f920a163d7")
    )
    for _ in range(2):
        record(file, clip, site_key)
    with StatIndex(file, site_key) as index:
        assert index.lookup(clip) == KEY
    assert victim.read_bytes() == b"precious"
