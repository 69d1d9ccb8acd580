"""CSV files: UTF-8, commas between cells, read line by line and written row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO

from lusfx.errors import TableError
from lusfx.tables.cells import Cell, ColumnType, csv_text, text_of_csv
from lusfx.tables.columns import column_names
from lusfx.tables.limits import too_long, within_limits

MAX_LINE = 1 << 22
"""Characters of a line."""
HEAD_BYTES = 256
SEPARATORS: Mapping[str, str] = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_csv(stream: io.BufferedReader) -> Iterator[Sequence[str]]:
    """The names of the columns, then the text of each row's cells.

    :raises TableError: if it is no such table, or exceeds a limit.
    """
    _refuse_utf16(stream.peek(HEAD_BYTES)[:HEAD_BYTES])
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        rows = _rows(text)
        header = next(rows, None)
        if header is None:
            raise TableError("the table is empty")
        _check_separator(header)
        names = column_names([text_of_csv(name) for name in header])
        yield names
        yield from within_limits(_cells(rows, len(names)), len(names))
    finally:
        text.detach()  # the stream is its caller's to close


def write_csv(stream: IO[bytes], columns: Mapping[str, ColumnType], rows: Iterable[Mapping[str, Cell]]) -> None:
    """Write a header and rows as they come."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(map(csv_text, columns))
        writer.writerows([csv_text(row.get(name)) for name in columns] for row in rows)
        text.flush()
    finally:
        text.detach()  # the stream is its caller's to close


def _rows(text: io.TextIOWrapper) -> Iterator[list[str]]:
    """Rows that are not blank."""
    reader = csv.reader(_lines(text), strict=True)
    number = 0
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            if "field limit" in str(error):
                raise too_long(max(number, 1)) from None
            raise TableError(
                f"the table cannot be read as csv beyond its line {number}: a quote is not closed, or stands within a cell"
            ) from None
        except UnicodeDecodeError:
            raise TableError("the table is not UTF-8 text, and cannot be read as csv. Save it as 'CSV UTF-8'") from None
        if row is None:
            return
        if row:
            yield row
            number += 1


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise TableError(f"the table has a line of more than {MAX_LINE:,} characters")
        yield line


def _cells(rows: Iterable[list[str]], n_columns: int) -> Iterator[list[str]]:
    for number, row in enumerate(rows, start=1):
        if len(row) != n_columns:
            raise TableError(f"row {number} of the table has not as many cells as its header")
        yield [text_of_csv(cell) for cell in row]


def _refuse_utf16(head: bytes) -> None:
    # Without a mark it shows by its zeros: ASCII in UTF-16 has one in every second byte.
    zeros = max(head[0::2].count(0), head[1::2].count(0))
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(head) >= 4 and zeros * 4 > len(head)):
        raise TableError("the table is written in UTF-16, and cannot be read as csv. Save it as 'CSV UTF-8'")


def _check_separator(header: Sequence[str]) -> None:
    first = header[0].strip()
    if first.lower().startswith("sep="):
        raise TableError(
            "the table begins with a line 'sep=', which only spreadsheets know. Remove it, and separate by commas"
        )
    for separator, name in SEPARATORS.items():
        if len(header) == 1 and separator in first:
            raise TableError(f"the table's columns are separated by {name}. Save it with commas between them")
