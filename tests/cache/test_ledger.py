"""The run ledger: every line proves itself, and totals add up."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from lusfx.cache import (
    Cache,
    Finding,
    LedgerEntry,
    Membership,
    RunLedger,
    info,
    read_ledger,
    repair,
    verify,
)
from lusfx.errors import CacheError


def entry(number: int, status: str = "encoded", patient: str | None = "p-1", zone: str | None = None) -> LedgerEntry:
    return LedgerEntry(f"s-{number}", status, f"{number:064x}", Membership(patient, None, zone), n_frames=3)


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    with RunLedger.start(tmp_path, "ab" * 32, "test") as ledger:
        for number in range(5):
            ledger.record(entry(number))
        ledger.record(entry(5, "failed"))
        ledger.finish(not_reached=2)
        return ledger.path


def test_entries_and_totals_are_read_back(ledger_file: Path) -> None:
    content = read_ledger(ledger_file)
    assert content.entries == [*(entry(number) for number in range(5)), entry(5, "failed")]
    assert content.totals == {
        "discovered": 8, "encoded": 5, "cached": 0, "failed": 1, "skipped": 0, "not_reached": 2,
    }  # fmt: skip
    assert content.header is not None
    assert content.header["encoder"] == "test"
    assert content.n_damaged_lines == 0


def test_a_torn_last_line_costs_only_itself(ledger_file: Path) -> None:
    ledger_file.write_bytes(ledger_file.read_bytes()[:-30])
    content = read_ledger(ledger_file)
    assert len(content.entries) == 6
    assert content.totals is None
    assert content.n_damaged_lines == 1


def test_flipped_bits_never_change_an_entry(ledger_file: Path) -> None:
    original = ledger_file.read_bytes()
    known = {str(item.as_dict()) for item in read_ledger(ledger_file).entries}
    generator = np.random.default_rng(0)
    for position, bit in zip(generator.integers(0, len(original), 400), generator.integers(0, 8, 400), strict=True):
        altered = bytearray(original)
        altered[position] ^= 1 << int(bit)
        ledger_file.write_bytes(altered)
        content = read_ledger(ledger_file)
        assert {str(item.as_dict()) for item in content.entries} <= known
        assert content.n_damaged_lines >= 1


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    ledger = RunLedger(tmp_path / "x", os.open("/dev/full", os.O_WRONLY))
    with pytest.raises(CacheError, match="No space left"), ledger:
        ledger.record(entry(0))


def test_later_runs_fill_up_what_earlier_ones_knew(cache: Cache) -> None:
    with cache.start_run("ab" * 32, "test") as first:
        first.record(entry(1, patient="p-1", zone="L1"))
    with cache.start_run("ab" * 32, "test") as second:
        second.record(entry(1, "cached", patient=None, zone="R1"))
    assert cache.memberships()[f"{1:064x}"] == Membership("p-1", None, "R1")


def test_a_ledger_torn_anywhere_is_read_up_to_there(ledger_file: Path) -> None:
    original = ledger_file.read_bytes()
    lines = original.splitlines()
    for length in range(len(original)):
        ledger_file.write_bytes(original[:length])
        content = read_ledger(ledger_file)
        n_whole = sum(original[:length].startswith(b"\n".join(lines[:n])) for n in range(1, len(lines) + 1))
        assert len(content.entries) == max(0, min(n_whole - 1, 6))
        assert content.n_damaged_lines <= 1
        if n_whole < len(lines):
            assert content.totals is None


def test_a_line_that_is_missing_whole_shows_in_the_totals(cache: Cache) -> None:
    with cache.start_run("ab" * 32, "test") as ledger:
        for number in range(4):
            ledger.record(entry(number))
        ledger.finish(not_reached=0)
    assert read_ledger(ledger.path).adds_up
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert not read_ledger(ledger.path).adds_up
    assert [finding.code for finding in verify(cache).findings] == ["damaged-ledger"]


@pytest.mark.parametrize(
    "text", [b"[]", b"1", b"{}", b"{", b'{"format":1}', b'{"totals":3}', b'{"source":"x"}', b"\xff"]
)
def test_a_line_that_proves_itself_but_says_something_else_is_damaged(ledger_file: Path, text: bytes) -> None:
    line = text + b"\t" + hashlib.sha256(text).hexdigest()[:16].encode() + b"\n"
    ledger_file.write_bytes(ledger_file.read_bytes() + line)
    content = read_ledger(ledger_file)
    assert content.n_damaged_lines == 1
    assert len(content.entries) == 6


def test_a_status_that_no_total_would_count_is_refused(tmp_path: Path) -> None:
    with (
        RunLedger.start(tmp_path, "ab" * 32, "test") as ledger,
        pytest.raises(ValueError, match="a status is one of"),
    ):
        ledger.record(entry(0, "vanished"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_only_the_owner_can_read_a_ledger(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with RunLedger.start(tmp_path / "runs", "ab" * 32, "test") as ledger:
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(ledger.path.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_a_ledger_that_cannot_be_begun_leaves_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(28, os.strerror(28))

    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(CacheError, match="No space left"):
        RunLedger.start(tmp_path, "ab" * 32, "test")
    monkeypatch.undo()
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


# ---- lines that prove themselves ----------------------------------------------------------------------------------------


def sealed_line(facts: object) -> bytes:
    """A line with the check that anybody can make."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
    return text + b"\t" + hashlib.sha256(text).hexdigest()[:16].encode() + b"\n"


WRONG: list[dict[str, object]] = [
    *({"clip": value} for value in (["a"], {"a": 1}, 1, True, "", "0A" * 32, "0a" * 31, "0a" * 32 + "\n", "\ud800")),
    *({name: value} for name in ("patient", "exam") for value in (
        ["p-1"], {}, 1, True, 1e999, "", "DOE^JOHN", "q-1", "p-", "p-1\n", "e-=1+1", "p-\u00e9", "p-\ud800", "p-" + "1" * 10_000
    )),
    *({"zone": value} for value in (
        ["L1"], 1, True, "", "=cmd|'/c calc'!A1", "L1\n", "\x1b[31m", "L" * 17, "Z" * 10_000_000, "L\u00e9", "\ud800"
    )),
    *({"source": value} for value in (None, 1, ["s-0"], "", "p-1", "s-\x00")),
    *({"outcome": value} for value in (None, "", "vanished", 1)),
    *({"code": value} for value in (1, ["x"], "x" * 10_000, "\x1b[31m")),
    *({"detail": value} for value in (1, {}, "x" * 10_000, "\udfff")),
    *({"notes": value} for value in (None, "x", {"a": 1}, [1], [None], ["x"] * 1000, ["\ud800"])),
    *({"n_frames": value} for value in (None, -1, 1.5, "3", True, 10**30, math.nan, math.inf)),
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong!r:.40}".encode("ascii", "replace").decode())
def test_a_line_is_not_believed_for_its_check(cache: Cache, wrong: dict[str, object]) -> None:
    with cache.start_run("ab" * 32, "test") as ledger:
        ledger.record(entry(1, zone="L1"))
        ledger.finish(not_reached=0)
    expected = {f"{1:064x}": Membership("p-1", None, "L1")}
    original = ledger.path.read_bytes()
    facts = entry(2, patient="p-2").as_dict()
    ledger.path.write_bytes(original + sealed_line(facts | wrong))
    assert cache.memberships() == expected
    assert info(cache).n_patients == 1
    assert [(found.code, found.file) for found in verify(cache).findings] == [
        ("damaged-ledger", f"runs/{ledger.path.name}")
    ]
    assert [found.code for found in repair(cache)] == ["damaged-ledger"]
    assert verify(cache).sound
    assert cache.memberships() == expected
    (kept,) = (cache.directory / "quarantine").iterdir()
    assert kept.read_bytes().startswith(original)
    # The same line without the wrong value is sound.
    ledger.path.write_bytes(sealed_line(facts))
    assert cache.memberships() == {f"{2:064x}": Membership("p-2")}


@pytest.mark.parametrize("wrong", [
    {"fingerprint": "x"}, {"encoder": 1}, {"encoder": "\x1b]0;x"}, {"encoder": "x" * 10_000}, {"version": 2}, {"run": None},
    {"lusfx": []},
])  # fmt: skip
def test_a_header_is_not_believed_for_its_check(cache: Cache, wrong: dict[str, object]) -> None:
    with cache.start_run("ab" * 32, "test") as ledger:
        pass
    header = read_ledger(ledger.path).header
    assert header is not None
    ledger.path.write_bytes(sealed_line(header | wrong))
    assert read_ledger(ledger.path).header is None
    assert [found.code for found in repair(cache)] == ["damaged-ledger"]
    assert verify(cache).sound


@pytest.mark.parametrize("value", [-1, "1", 1.0, True, None, 10**30])
def test_totals_are_not_believed_for_their_check(ledger_file: Path, value: object) -> None:
    totals = read_ledger(ledger_file).totals
    assert totals is not None
    lines = ledger_file.read_bytes().splitlines(keepends=True)
    ledger_file.write_bytes(b"".join(lines[:-1]) + sealed_line({"totals": totals | {"failed": value}}))
    content = read_ledger(ledger_file)
    assert content.totals is None
    assert content.n_damaged_lines == 1


def test_a_line_without_an_end_costs_itself_and_no_memory(ledger_file: Path) -> None:
    original = ledger_file.read_bytes()
    with ledger_file.open("ab") as file:
        file.truncate(len(original) + (64 << 20))
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + sealed_line(entry(7).as_dict()))
    tracemalloc.start()
    try:
        content = read_ledger(ledger_file)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert content.n_damaged_lines == 1
    assert len(content.entries) == 7
    assert peak_bytes < 16 << 20


def test_what_is_written_is_what_readers_take(tmp_path: Path) -> None:
    """A plugin's reader may say anything. A name in the place of a pseudonym must not get in, and no line be lost for it."""
    loud = LedgerEntry(
        "s-1", "failed", None, Membership("DOE^JOHN", "1.2.840", "left = lung"), "x\n" * 5000, "\ud800" * 5000,
        ["n" * 5000] * 500,
    )  # fmt: skip
    with RunLedger.start(tmp_path, "ab" * 32, "name\x1b\ud800") as ledger:
        ledger.record(loud)
        ledger.finish(not_reached=0)
    content = read_ledger(ledger.path)
    assert content.n_damaged_lines == 0
    assert content.adds_up
    assert content.header is not None
    assert content.entries[0].membership == Membership()
    assert b"DOE" not in ledger.path.read_bytes()


def test_a_ledger_that_a_run_is_writing_is_left_alone(cache: Cache) -> None:
    left: list[Finding] = []
    with cache.start_run("ab" * 32, "test") as ledger:
        ledger.record(entry(1))
        os.write(ledger._descriptor, b"torn\n")
        inode = ledger.path.stat().st_ino
        assert repair(cache, left.append) == []
        assert [found.code for found in left] == ["damaged-ledger"]
        assert ledger.path.stat().st_ino == inode
        ledger.record(entry(2))
    assert [found.code for found in repair(cache)] == ["damaged-ledger"]
    assert len(read_ledger(ledger.path).entries) == 2


def test_a_ledger_whose_totals_are_not_its_lines_is_repaired(cache: Cache) -> None:
    with cache.start_run("ab" * 32, "test") as ledger:
        ledger.record(entry(1))
        ledger.finish(not_reached=0)
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(lines[0] + lines[2])
    assert len(repair(cache)) == 1
    assert verify(cache).sound
