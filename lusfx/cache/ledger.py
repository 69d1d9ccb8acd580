"""The run ledger: what became of every source of every run. Append-only JSON lines, each with its own check.

A line is a JSON object, a tab, and the first 16 hexadecimal digits of the object's SHA-256. A torn or altered line is told
from a sound one, and costs only itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from lusfx.config import canonical_json
from lusfx.durable import FILE_MODE, make_directory, sync_directory, write_all
from lusfx.errors import CacheError
from lusfx.messages import system_reason
from lusfx.version import __version__

FORMAT = "lusfx-ledger"
VERSION = 1
LEDGER_SUFFIX = ".jsonl"
TIME_FORMAT = "%Y%m%dT%H%M%S.%fZ"
"""Of the beginning of a ledger's name."""
CHECK_DIGITS = 16
LINES_A_SYNC = 256
STATUSES = ("encoded", "cached", "failed", "skipped")
HEADER = ("format", "version", "run", "fingerprint", "encoder", "lusfx")
TOTALS = ("discovered", *STATUSES, "not_reached")
TOTALS_BYTES = 4096
"""The last line of a ledger is shorter than this."""


@dataclass(frozen=True, slots=True)
class Membership:
    """Whose a clip is; pseudonyms, None where nobody said.

    :param patient: as the manifest says, or else as the file does.
    :param file_patient: as the file itself says, which may be another than the manifest's.
    """

    patient: str | None = None
    exam: str | None = None
    zone: str | None = None
    file_patient: str | None = None

    def or_else(self, earlier: Membership | None) -> Membership:
        """This, filled up from an earlier statement."""
        if earlier is None:
            return self
        return Membership(
            self.patient or earlier.patient,
            self.exam or earlier.exam,
            self.zone or earlier.zone,
            self.file_patient or earlier.file_patient,
        )


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What became of one source.

    :param source: pseudonym of its place on disk.
    :param status: one of :data:`STATUSES`; the ledger's lines call it ``outcome``.
    :param clip: its clip key, where it could be read.
    :param code: stable reason of a failure or a skip, with ``detail`` for a person.
    :param notes: what the reader had to tell.
    """

    source: str
    status: str
    clip: str | None = None
    membership: Membership = Membership()
    code: str | None = None
    detail: str | None = None
    notes: Sequence[str] = ()
    n_frames: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "outcome": self.status,
            "clip": self.clip,
            "patient": self.membership.patient,
            "exam": self.membership.exam,
            "zone": self.membership.zone,
            "file_patient": self.membership.file_patient,
            "code": self.code,
            "detail": self.detail,
            "notes": list(self.notes),
            "n_frames": self.n_frames,
        }

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> LedgerEntry:
        rest = {name: facts[name] for name in ("source", "clip", "code", "detail", "n_frames")}
        return cls(status=facts["outcome"], membership=_membership(facts), notes=tuple(facts["notes"]), **rest)


@dataclass(frozen=True, slots=True)
class LedgerContent:
    """A ledger read back.

    :param totals: the closing line; None where the run was killed.
    :param n_damaged_lines: lines whose check fails; a run that was killed may leave one, at the end.
    """

    header: dict[str, Any] | None
    entries: list[LedgerEntry]
    totals: dict[str, Any] | None
    n_damaged_lines: int

    @property
    def adds_up(self) -> bool:
        """Whether the entries are those that the totals count: a line that is missing whole shows only here."""
        counts = Counter(entry.status for entry in self.entries)
        return self.totals is None or all(self.totals[status] == counts[status] for status in STATUSES)


class RunLedger:
    """The ledger of the run in progress; a context that flushes what it has on any exit."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = (
            descriptor  # no buffer in between: it would be flushed once more on closing, on a full disk too
        )
        self._counts: Counter[str] = Counter()
        self._unsynced = 0

    @classmethod
    def start(cls, runs: Path, fingerprint: str, encoder: str, site_key: str | None = None) -> RunLedger:
        """Begin a ledger in ``CACHE/runs``; its name begins with the time, so that names sort by age.

        :param site_key: check of the key that the run's pseudonyms are made with.
        """
        try:
            make_directory(runs)
            run_id = f"{_later_than_all(runs):{TIME_FORMAT}}-{secrets.token_hex(4)}"
            path = runs / (run_id + LEDGER_SUFFIX)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            descriptor = os.open(path, flags, FILE_MODE)
            sync_directory(runs)
        except OSError as error:
            raise CacheError(f"the cache cannot be written: {system_reason(error)}") from None
        ledger = cls(path, descriptor)
        header = {
            "format": FORMAT,
            "version": VERSION,
            "run": run_id,
            "fingerprint": fingerprint,
            "encoder": encoder,
            "lusfx": __version__,
            "site_key": site_key,
        }
        try:
            ledger._write(header)
            ledger._sync()
        except CacheError:
            os.close(descriptor)
            raise
        return ledger

    def record(self, entry: LedgerEntry) -> None:
        """Append an entry. Of an encoded clip, only once its file is durable.

        :raises ValueError: if the status is not one of :data:`STATUSES`: the totals would not add up.
        """
        if entry.status not in STATUSES:
            raise ValueError(f"a status is one of {', '.join(STATUSES)}")
        self._counts[entry.status] += 1
        self._write(entry.as_dict())

    def finish(self, not_reached: int, left_out: Mapping[str, int] | None = None) -> None:
        """Append the totals: discovered = encoded + cached + failed + skipped + not_reached.

        :param left_out: what the searched folders hold besides sources, by the reason why it is none.
        """
        counts = {status: self._counts[status] for status in STATUSES}
        discovered = sum(counts.values()) + not_reached
        totals = {"discovered": discovered, **counts, "not_reached": not_reached}
        self._write({"totals": totals, "left_out": dict(left_out or {})})

    def __enter__(self) -> RunLedger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._sync()
        except CacheError:
            if error is None:  # on a full disk the first error is the one to show
                raise
        finally:
            os.close(self._descriptor)

    def _write(self, facts: dict[str, Any]) -> None:
        text = canonical_json(facts).encode("ascii")
        try:
            write_all(self._descriptor, text + b"\t" + _check_of(text) + b"\n")
        except OSError as error:
            raise CacheError(f"the run ledger cannot be written: {system_reason(error)}") from None
        self._unsynced += 1
        if self._unsynced >= LINES_A_SYNC:
            self._sync()

    def _sync(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise CacheError(f"the run ledger cannot be written: {system_reason(error)}") from None
        self._unsynced = 0


def read_ledger(path: Path) -> LedgerContent:
    """Read a ledger back, leaving damaged lines out and counting them.

    :raises CacheError: if the file cannot be read at all.
    """
    header: dict[str, Any] | None = None
    totals: dict[str, Any] | None = None
    entries = []
    n_damaged = 0
    for facts in _lines(path):
        try:
            if facts is None:
                n_damaged += 1
            elif "format" in facts:
                header = _header(facts)
            elif "totals" in facts:
                totals = {name: int(facts["totals"][name]) for name in TOTALS}
            else:
                entries.append(LedgerEntry.from_dict(facts))
        except (ValueError, KeyError, TypeError):  # proves itself, but is none of ours
            n_damaged += 1
    return LedgerContent(header, entries, totals, n_damaged)


def read_header(path: Path) -> dict[str, Any] | None:
    """The first line of a ledger, without reading those after it; None where it is damaged.

    :raises CacheError: if the file cannot be read at all.
    """
    for facts in _lines(path):
        with suppress(KeyError):
            return None if facts is None else _header(facts)
        break
    return None


def read_members(path: Path) -> Iterator[tuple[str, Membership]]:
    """Whose a ledger says that clips are, line by line; damaged lines are left out.

    :raises CacheError: if the file cannot be read at all.
    """
    for facts in _lines(path):
        if facts is not None and facts.get("clip") is not None:
            with suppress(KeyError):
                yield facts["clip"], _membership(facts)


def is_finished(path: Path) -> bool:
    """Whether a ledger ends in its totals, by a look at its end.

    :raises CacheError: if the file cannot be read at all.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TOTALS_BYTES))
            lines = file.read().splitlines()
    except OSError as error:
        raise CacheError(f"a run ledger cannot be read: {system_reason(error)}") from None
    return bool(lines) and "totals" in (_facts_of(lines[-1]) or {})


def _lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """What each line says; None for a damaged one."""
    try:
        with path.open("rb") as file:
            for line in file:
                # Split once more: a flipped bit can make another kind of line break in the middle of one.
                for part in line.splitlines():
                    yield _facts_of(part)
    except OSError as error:
        raise CacheError(f"a run ledger cannot be read: {system_reason(error)}") from None


def _facts_of(line: bytes) -> dict[str, Any] | None:
    text, _, check = line.rpartition(b"\t")
    if check != _check_of(text):
        return None
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def _header(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The first line; ledgers of before do not say which site key they were made with."""
    return {name: facts[name] for name in HEADER} | {"site_key": facts.get("site_key")}


def _membership(facts: Mapping[str, Any]) -> Membership:
    """What a line says; ledgers of before do not say what the file itself did."""
    return Membership(facts["patient"], facts["exam"], facts["zone"], facts.get("file_patient"))


def _later_than_all(runs: Path) -> datetime:
    """The time; where the clock was set back, a moment after the last run that began.

    Of two runs that say whose a clip is the later one is believed, and names are what tells which that is.
    """
    now = datetime.now(UTC)
    latest = max((path.name.partition("-")[0] for path in runs.glob(f"*{LEDGER_SUFFIX}")), default="")
    try:
        return max(now, datetime.strptime(latest, TIME_FORMAT).replace(tzinfo=UTC) + timedelta(microseconds=1))
    except (ValueError, OverflowError):  # a name that is none of ours, or the end of time
        return now


def _check_of(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:CHECK_DIGITS].encode("ascii")
