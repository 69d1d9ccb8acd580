"""Sources that are known to fail, so that a nightly run says only what is new: a table of their pseudonyms and codes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lusfx.cache import LedgerEntry
from lusfx.errors import TableError
from lusfx.tables import read_table, write_table

SOURCE = re.compile(r"s-[0-9a-f]{20}")
COLUMNS = ("source", "code")

KnownBad = frozenset[tuple[str, str]]
"""Sources by pseudonym, with the code that each is known to fail with: failing with another one is news."""


def read_known_bad(table: Path | None) -> KnownBad:
    """Read the table that ``lusfx cache troubles --accept`` writes.

    :param table: None where nothing is known.
    :raises TableError: if it cannot be read, or has something else in it.
    """
    if table is None:
        return frozenset()
    rows = read_table(table, required=COLUMNS)
    for row in rows:
        if not SOURCE.fullmatch(row["source"]):
            raise TableError(
                f"row {row.number} of the table of known bad files names no source by its pseudonym. "
                "Make the table by: lusfx cache troubles --cache DIR --accept FILE"
            )
    return frozenset((row["source"], row["code"]) for row in rows)


def write_known_bad(table: Path, entries: Iterable[LedgerEntry]) -> None:
    """Write a table for :func:`read_known_bad`.

    :raises TableError: if the disk refuses.
    """
    rows = [{"source": entry.source, "code": entry.code or ""} for entry in entries]
    write_table(table, dict.fromkeys(COLUMNS, "text"), rows)
