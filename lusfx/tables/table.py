"""A table as rows of text that are read, and as rows of typed cells that are written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from lusfx.durable import make_directory, whole_file
from lusfx.errors import TableError, UsageError
from lusfx.messages import system_reason
from lusfx.plain_file import NotPlainError, open_plain_file
from lusfx.tables.cells import Cell, ColumnType
from lusfx.tables.columns import as_seen
from lusfx.tables.csv_file import CsvReading, write_csv
from lusfx.tables.limits import MAX_BYTES
from lusfx.tables.parquet_file import read_parquet, write_parquet

SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class TableForm:
    """What the rows of a table share.

    :param names: its columns' names as the header has them, by how people compare them.
    :param notes: what was assumed when it was read.
    """

    names: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a manifest or label table. Columns are found whatever capitals the header has.

    :param number: position below the header, from 1; what messages name, since a path can name a patient.
    :param cells: text of each cell, stripped; blank where the table holds nothing.
    :param line: where the row begins in its file, as editors count lines, from 1; None where the file has no lines.
    """

    number: int
    cells: Mapping[str, str]
    line: int | None = None
    form: TableForm = TableForm({})

    def __getitem__(self, column: str) -> str:
        return self.cells.get(self._name(column), "")

    def __contains__(self, column: object) -> bool:
        """Whether the table has a column."""
        return isinstance(column, str) and self._name(column) in self.cells

    @property
    def said(self) -> str:
        """The row's number, and the line where an editor shows it: ``71 (line 72)``."""
        return str(self.number) if self.line is None else f"{self.number} (line {self.line})"

    def _name(self, column: str) -> str:
        return column if column in self.cells else self.form.names.get(as_seen(column), column)


def is_table(path: Path) -> bool:
    """Whether a path names a table by its ending."""
    return path.suffix.lower() in SUFFIXES


def check_table_name(path: Path) -> None:
    """Refuse a table name whose ending says neither CSV nor Parquet, before any work is done for it."""
    if not is_table(path):
        raise UsageError(f"a table's name ends in {' or '.join(SUFFIXES)}, not '{path.suffix}'")


def read_table(path: Path, required: Sequence[str] = ()) -> list[Row]:
    """Read a table as text cells.

    :param path: ``.csv`` (see :mod:`lusfx.tables.csv_text` for its encoding and separator) or ``.parquet``; a plain file or a
        link to one.
    :param required: columns that must be there.
    :raises TableError: if the file cannot be read as a table, exceeds a limit (:mod:`lusfx.tables.limits`), has two columns
        that people take for one, or lacks a column.
    """
    check_table_name(path)
    try:
        rows = list(_rows(path))
    except TableError:
        raise
    except NotPlainError as error:
        raise TableError(f"the table cannot be read: {error.strerror}") from None
    except OSError as error:
        raise TableError(f"the table cannot be read: {system_reason(error)}") from None
    except Exception as error:
        # The parser's own words may quote cells, and cells may name patients.
        raise TableError(f"the table cannot be read as {path.suffix[1:]} ({type(error).__name__})") from None
    if not rows:
        raise TableError("the table has no rows below its header")
    missing = [column for column in required if column not in rows[0]]
    if missing:
        # Its columns are not named: of a table without a header they are the first patient's cells.
        raise TableError(
            f"the table has no column {', '.join(repr(name) for name in missing)} among its {len(rows[0].cells)}. "
            "Its first line must name the columns"
        )
    return rows


def write_table(path: Path, columns: Mapping[str, ColumnType], rows: Iterable[Mapping[str, Cell]]) -> None:
    """Write a table whole or not at all, readable by its owner only. Rows are written as they come: an archive's table takes
    no archive of memory.

    Text is written as one line (:func:`lusfx.messages.one_line`), and in CSV files so that no spreadsheet takes it for a
    formula (:mod:`lusfx.tables.cells`); :func:`read_table` gives it back.

    :param path: ``.csv`` or ``.parquet``.
    :param columns: their types, in order; what a row lacks is blank, and so is NaN.
    """
    check_table_name(path)
    try:
        make_directory(path.parent)
        with whole_file(path) as descriptor, os.fdopen(descriptor, "w+b", closefd=False) as stream:
            write = write_parquet if path.suffix.lower() == ".parquet" else write_csv
            write(stream, columns, rows)
    except OSError as error:
        raise TableError(f"the table cannot be written: {system_reason(error)}") from None


def _rows(path: Path) -> Iterator[Row]:
    """Rows of the columns that have a name."""
    with open_plain_file(path, follow_links=True) as stream:
        if os.fstat(stream.fileno()).st_size > MAX_BYTES:
            raise TableError(f"the table has more than {MAX_BYTES:,} bytes")
        reading = None if path.suffix.lower() == ".parquet" else CsvReading(stream)
        found = read_parquet(stream) if reading is None else chain([reading.names], reading.rows())
        names = next(found)
        form = TableForm({as_seen(name): name for name in names if name}, () if reading is None else reading.notes)
        for number, cells in enumerate(found, start=1):
            row = dict(zip(names, cells, strict=True))
            row.pop("", None)
            yield Row(number, row, None if reading is None else reading.line, form)
