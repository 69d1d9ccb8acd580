"""Limits of tables that are read: far above a manifest of a million clips, and far below what takes all memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lusfx.errors import TableError

MAX_BYTES = 1 << 30
"""Of a file; of a Parquet file also of its columns once they are decompressed."""
MAX_ROWS = 2_000_000
MAX_COLUMNS = 1000
MAX_CELLS = 1 << 25
"""In all: 33 columns of a million rows."""
MAX_CHARACTERS = 1 << 29
"""In all."""
MAX_CELL_CHARACTERS = 10_000
"""A path has at most 4096."""


def within_limits(rows: Iterable[Sequence[str]], n_columns: int) -> Iterator[Sequence[str]]:
    """The rows, for as long as a table may have so many.

    :raises TableError: naming the limit that a table exceeds.
    """
    n_characters = 0
    for number, row in enumerate(rows, start=1):
        check_shape(number, n_columns)
        longest = max(map(len, row), default=0)
        if longest > MAX_CELL_CHARACTERS:
            raise too_long(number)
        n_characters += sum(map(len, row))
        if n_characters > MAX_CHARACTERS:
            raise TableError(f"the table has more than {MAX_CHARACTERS:,} characters")
        yield row


def check_shape(n_rows: int, n_columns: int) -> None:
    """Refuse a table of too many rows or cells.

    :raises TableError: naming the limit.
    """
    if n_rows > MAX_ROWS:
        raise TableError(f"the table has more than {MAX_ROWS:,} rows. Split it")
    if n_rows * n_columns > MAX_CELLS:
        raise TableError(f"the table has more than {MAX_CELLS:,} cells. Leave out columns that no task reads")


def too_long(number: int) -> TableError:
    """The error of a cell that is no cell any more."""
    return TableError(
        f"row {number} of the table has a cell of more than {MAX_CELL_CHARACTERS:,} characters; perhaps a quote is never closed"
    )
