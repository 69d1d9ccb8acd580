"""The run ledger: every line proves itself, and totals add up."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from lusfx.cache import Cache, LedgerEntry, Membership, RunLedger, read_ledger, verify
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
