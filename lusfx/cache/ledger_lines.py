"""What a line of a run ledger may say, and how lines are read: each against its check, and then against what may stand in it.

The check is a plain digest that anybody can make, so a line is not believed for having it: values of another type, length or
form are damage like any other. pydantic parses and checks in one go, as fast as :func:`json.loads` alone parses.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from lusfx.errors import CacheError, CorruptRecordError
from lusfx.messages import system_reason
from lusfx.plain_file import NotPlainError, open_plain_file

FORMAT = "lusfx-ledger"
VERSION = 1
CHECK_DIGITS = 16
MAX_TEXT = 4096
"""Characters of a free text."""
MAX_NOTES = 256
MAX_LINE_BYTES = 1 << 20
MAX_LEDGER_BYTES = 1 << 32
"""Of ten million lines. A file with holes may be of any size."""
PSEUDONYM = r"-[0-9A-Za-z_.-]{1,62}$"

Source = Annotated[str, StringConstraints(pattern="^s" + PSEUDONYM)]
Patient = Annotated[str, StringConstraints(pattern="^p" + PSEUDONYM)]
SiteKeyCheck = Annotated[str, StringConstraints(pattern="^k" + PSEUDONYM)]
Exam = Annotated[str, StringConstraints(pattern="^e" + PSEUDONYM)]
Zone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,16}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Name = Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=r"^\P{Cc}*$")]
"""Without control characters: people are shown it."""
Count = Annotated[int, Field(ge=0, lt=1 << 40)]


class _Line(BaseModel):
    """Fields that a later version adds are left out."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class HeaderLine(_Line):
    """The first line."""

    format: Literal["lusfx-ledger"]
    version: Literal[1]
    run: Name
    fingerprint: Digest
    encoder: Name
    lusfx: Name
    site_key: SiteKeyCheck | None = None  # ledgers of before do not say it
    seen: Annotated[tuple[Name, ...], Field(max_length=MAX_NOTES)] = ()  # nor this


class EntryLine(_Line):
    """What became of one source."""

    source: Source
    outcome: Literal["encoded", "cached", "failed", "skipped"]
    clip: Digest | None
    patient: Patient | None
    exam: Exam | None
    zone: Zone | None
    code: Name | None
    detail: Text | None
    notes: Annotated[tuple[Text, ...], Field(max_length=MAX_NOTES)]
    n_frames: Count
    file_patient: Patient | None = None  # as the file says; ledgers of before do not


class Totals(_Line):
    """How many sources had which outcome."""

    discovered: Count
    encoded: Count
    cached: Count
    failed: Count
    skipped: Count
    not_reached: Count


class TotalsLine(_Line):
    """The last line."""

    totals: Totals


Line = EntryLine | HeaderLine | TotalsLine
LINE: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(union_mode="left_to_right")])


def lines(path: Path) -> Iterator[tuple[bytes, Line | None]]:
    """Each line of a ledger without its end, and what it says; None for a damaged one.

    :raises CorruptRecordError: if the file is no plain file, or larger than any ledger.
    :raises CacheError: if it cannot be read at present.
    """
    with opened(path) as file:
        while line := file.readline(MAX_LINE_BYTES):
            if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                    pass
                yield b"", None
                continue
            # Split once more: a flipped bit can make another kind of line break in the middle of one.
            for part in line.splitlines():
                yield part, parsed(part)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A ledger opened for reading; raises as :func:`lines` does, also while it is read."""
    try:
        with open_plain_file(path, follow_links=False) as file:
            if os.fstat(file.fileno()).st_size > MAX_LEDGER_BYTES:
                raise CorruptRecordError("a run ledger is larger than any that is written. Run: lusfx cache repair")
            yield file
    except NotPlainError as error:
        raise CorruptRecordError(f"a run ledger cannot be read: {error.strerror}. Run: lusfx cache repair") from None
    except OSError as error:
        raise CacheError(f"a run ledger cannot be read: {system_reason(error)}") from None


def parsed(line: bytes) -> Line | None:
    """What a line says; None if it does not have its check, or says what no line may say."""
    text, _, check = line.rpartition(b"\t")
    if check != check_of(text):
        return None
    try:
        return LINE.validate_json(text)
    except ValidationError:
        return None


def check_of(text: bytes) -> bytes:
    """The check of a line's text."""
    return hashlib.sha256(text).hexdigest()[:CHECK_DIGITS].encode("ascii")
