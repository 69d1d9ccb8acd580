"""The run ledger: what became of every source of every run. Append-only JSON lines, each with its own check.

A line is a JSON object, a tab, and the first 16 hexadecimal digits of the object's SHA-256. A torn or altered line is told
from a sound one, and costs only itself. :mod:`lusfx.cache.ledger_lines` says what a line may say.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lusfx.cache import ledger_lines
from lusfx.cache.ledger_lines import (
    FORMAT,
    MAX_NOTES,
    VERSION,
    EntryLine,
    Exam,
    HeaderLine,
    Patient,
    TotalsLine,
    Zone,
    check_of,
    lines,
    parsed,
)
from lusfx.config import canonical_json
from lusfx.durable import FILE_MODE, make_directory, sync_directory, write_all
from lusfx.errors import CacheError
from lusfx.messages import system_reason
from lusfx.version import __version__

LEDGER_SUFFIX = ".jsonl"
TIME_FORMAT = "%Y%m%dT%H%M%S.%fZ"
"""Of the beginning of a ledger's name."""
LINES_A_SYNC = 256
STATUSES = ("encoded", "cached", "failed", "skipped")
WRITTEN_TEXT = 500
WRITTEN_NOTES = 64
"""Longer texts and more notes are cut. They fit into a line, and readers take them."""
PATIENT: TypeAdapter[str] = TypeAdapter(Patient)
EXAM: TypeAdapter[str] = TypeAdapter(Exam)
ZONE: TypeAdapter[str] = TypeAdapter(Zone)
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
        """The line of a ledger. What its readers would not take is shortened, and what is no pseudonym and no zone left out: a
        plugin's reader may say anything, and a name must not get in.
        """
        return {
            "source": self.source,
            "outcome": self.status,
            "clip": self.clip,
            "patient": _if_valid(PATIENT, self.membership.patient),
            "exam": _if_valid(EXAM, self.membership.exam),
            "zone": _if_valid(ZONE, self.membership.zone),
            "file_patient": _if_valid(PATIENT, self.membership.file_patient),
            "code": None if self.code is None else _name(self.code),
            "detail": None if self.detail is None else _text(self.detail),
            "notes": [_text(note) for note in self.notes][:WRITTEN_NOTES],
            "n_frames": self.n_frames,
        }

    @classmethod
    def of_line(cls, line: EntryLine) -> LedgerEntry:
        return cls(
            line.source,
            line.outcome,
            line.clip,
            _membership(line),
            line.code,
            line.detail,
            line.notes,
            line.n_frames,
        )


@dataclass(frozen=True, slots=True)
class LedgerContent:
    """A ledger read back.

    :param totals: the closing line; None where the run was killed.
    :param n_damaged_lines: lines whose check fails, or that say what no line may say; a run that was killed may leave one, at
        the end.
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
    def start(
        cls, runs: Path, fingerprint: str, encoder: str, site_key: str | None = None, seen: Sequence[str] = ()
    ) -> RunLedger:
        """Begin a ledger in ``CACHE/runs``; its name begins with the time, so that names sort by age.

        :param site_key: check of the key that the run's pseudonyms are made with.
        :param seen: names of data sets that the encoder has seen.
        """
        try:
            make_directory(runs, within=runs.parent)
            run_id = f"{_later_than_all(runs):{TIME_FORMAT}}-{secrets.token_hex(4)}"
            path = runs / (run_id + LEDGER_SUFFIX)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            descriptor = os.open(path, flags, FILE_MODE)
            hold(descriptor)
            sync_directory(runs)
        except OSError as error:
            raise CacheError(f"the cache cannot be written: {system_reason(error)}") from None
        ledger = cls(path, descriptor)
        header: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "run": run_id,
            "fingerprint": fingerprint,
            "encoder": _name(encoder),
            "lusfx": __version__,
            "site_key": site_key,
        }
        if seen:
            header["seen"] = [_name(name) for name in seen[:MAX_NOTES]]
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
            write_all(self._descriptor, text + b"\t" + check_of(text) + b"\n")
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

    :raises CorruptRecordError: if the file is no plain file, or larger than any ledger.
    :raises CacheError: if it cannot be read at present.
    """
    header: dict[str, Any] | None = None
    totals: dict[str, Any] | None = None
    entries = []
    n_damaged = 0
    for _, line in lines(path):
        if isinstance(line, EntryLine):
            entries.append(LedgerEntry.of_line(line))
        elif isinstance(line, HeaderLine):
            header = line.model_dump()
        elif isinstance(line, TotalsLine):
            totals = line.totals.model_dump()
        else:
            n_damaged += 1
    return LedgerContent(header, entries, totals, n_damaged)


def read_header(path: Path) -> dict[str, Any] | None:
    """The first line of a ledger, without reading those after it; None where it is damaged.

    :raises CacheError: as :func:`read_ledger` does.
    """
    for _, line in lines(path):
        return line.model_dump() if isinstance(line, HeaderLine) else None
    return None


def read_members(path: Path) -> Iterator[tuple[str, Membership]]:
    """Whose a ledger says that clips are, line by line; damaged lines are left out.

    :raises CacheError: as :func:`read_ledger` does.
    """
    for _, line in lines(path):
        if isinstance(line, EntryLine) and line.clip is not None:
            yield line.clip, _membership(line)


def is_finished(path: Path) -> bool:
    """Whether a ledger ends in its totals, by a look at its end.

    :raises CacheError: as :func:`read_ledger` does.
    """
    with ledger_lines.opened(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TOTALS_BYTES))
        ending = file.read(TOTALS_BYTES).splitlines()
    return bool(ending) and isinstance(parsed(ending[-1]), TotalsLine)


def without_damage(path: Path) -> bytes:
    """A ledger's sound lines but its totals, which no longer say what the lines are: as that of a run that was killed.

    :raises CacheError: as :func:`read_ledger` does.
    """
    return b"".join(text + b"\n" for text, line in lines(path) if isinstance(line, EntryLine | HeaderLine))


def hold(descriptor: int) -> None:
    """Say that a ledger is being written, as far as the file system can keep that: only repairing asks for it."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_held(path: Path, settled_s: float) -> bool:
    """Whether a run may still be writing a ledger.

    :param settled_s: where the file system cannot say, one that has not grown for so many seconds is not.
    :raises CacheError: as :func:`read_ledger` does.
    """
    with ledger_lines.opened(path) as file:
        try:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except (ImportError, OSError):
            return time.time() - os.fstat(file.fileno()).st_mtime <= settled_s
        return False


def _membership(line: EntryLine) -> Membership:
    return Membership(line.patient, line.exam, line.zone, line.file_patient)


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


def _if_valid(kind: TypeAdapter[str], text: str | None) -> str | None:
    try:
        return None if text is None else kind.validate_python(text, strict=True)
    except ValidationError:
        return None


def _text(text: str) -> str:
    return str(text)[:WRITTEN_TEXT].encode("utf-8", "replace").decode("utf-8")


def _name(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in _text(text))
