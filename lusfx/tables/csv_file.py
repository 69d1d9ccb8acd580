"""CSV files: read line by line, as :mod:`lusfx.tables.csv_text` says, and written row by row in UTF-8 with commas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import IO

from lusfx.errors import TableError
from lusfx.tables.cells import Cell, ColumnType, csv_text, text_of_csv
from lusfx.tables.columns import column_names
from lusfx.tables.csv_text import SEPARATORS, encoding_of, separator_of
from lusfx.tables.limits import too_long, within_limits

MAX_LINE = 1 << 22
"""Characters of a line."""


class CsvReading:
    """A CSV file that is being read.

    :param stream: at its beginning, and its caller's to close.
    :raises TableError: if it is no such table, or exceeds a limit.
    """

    def __init__(self, stream: io.BufferedReader) -> None:
        encoding, self._encoding = encoding_of(stream)
        self._text = io.TextIOWrapper(stream, encoding=encoding, newline="")
        self.line = 0
        """Where the row that was given last begins, as an editor counts lines, from 1."""
        self.separator = ","
        self.names = self._header()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed."""
        assumed = [] if self._encoding is None else [f"read as {self._encoding}"]
        if self.separator != ",":
            assumed.append(f"read with {SEPARATORS[self.separator]} between its columns")
        return tuple(assumed)

    def rows(self) -> Iterator[Sequence[str]]:
        """The text of each row's cells."""
        yield from within_limits(self._cells(), len(self.names))

    def _header(self) -> list[str]:
        lines, blank = _lines(self._text), 0
        try:
            first = next(lines, "")
            while first and not first.strip():
                blank, first = blank + 1, next(lines, "")
        except UnicodeError:
            raise _no_text() from None
        if not first:
            raise TableError("the table is empty")
        self.separator = separator_of(first)
        self._rows = self._records(csv.reader(chain([first], lines), strict=True, delimiter=self.separator), blank)
        return column_names([text_of_csv(name) for name in next(self._rows)])

    def _records(self, reader: Iterator[list[str]], before: int) -> Iterator[list[str]]:
        """Rows that are not blank.

        :param before: lines above the reader's first.
        """
        number = 0
        while True:
            begins = before + reader.line_num + 1  # type: ignore[attr-defined] # of csv's readers
            try:
                row = next(reader, None)
            except csv.Error as error:
                if "field limit" in str(error):
                    raise too_long(max(number, 1)) from None
                raise TableError(
                    f"the table cannot be read as csv from its line {begins} on: a quote is not closed, or stands within a cell"
                ) from None
            except UnicodeError:
                raise _no_text() from None
            if row is None:
                return
            if row:
                self.line = begins
                yield row
                number += 1

    def _cells(self) -> Iterator[list[str]]:
        for number, row in enumerate(self._rows, start=1):
            if len(row) != len(self.names):
                raise TableError(f"row {number} (line {self.line}) of the table has not as many cells as its header")
            yield [text_of_csv(cell) for cell in row]


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


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise TableError(f"the table has a line of more than {MAX_LINE:,} characters")
        yield line


def _no_text() -> TableError:
    return TableError("the table is not the text that it begins as, and cannot be read as csv. Save it as 'CSV UTF-8'")
