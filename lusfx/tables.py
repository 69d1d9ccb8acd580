"""Tables: manifests and label tables in, score tables out. CSV or Parquet, by the file's ending."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

from lusfx.durable import make_directory, whole_file
from lusfx.errors import TableError, UsageError
from lusfx.messages import system_reason

SUFFIXES = (".csv", ".parquet")
Cell = str | float | int | bool | None
ColumnType = Literal["text", "number", "integer", "flag"]
ROWS_A_GROUP = 65_536
"""Rows that a Parquet file holds together, and that are held in memory while it is written."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a manifest or label table.

    :param number: position below the header, from 1; what messages name, since a path can name a patient.
    :param cells: text of each cell, stripped; blank where the table holds nothing.
    """

    number: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


def is_table(path: Path) -> bool:
    """Whether a path names a table by its ending."""
    return path.suffix.lower() in SUFFIXES


def check_table_name(path: Path) -> None:
    """Refuse a table name whose ending says neither CSV nor Parquet, before any work is done for it."""
    if not is_table(path):
        raise UsageError(f"a table's name ends in {' or '.join(SUFFIXES)}, not '{path.suffix}'")


def read_table(path: Path, required: Sequence[str] = ()) -> list[Row]:
    """Read a table as text cells.

    :param path: ``.csv`` (UTF-8, with or without a byte order mark) or ``.parquet``.
    :param required: columns that must be there.
    :raises TableError: if the file cannot be read as a table or lacks a column.
    """
    check_table_name(path)
    try:
        records = _parquet_records(path) if path.suffix.lower() == ".parquet" else _csv_records(path)
        rows = [Row(number, cells) for number, cells in enumerate(records, start=1)]
    except TableError:
        raise
    except Exception as error:
        # The parser's own words may quote cells, and cells may name patients.
        raise TableError(f"the table cannot be read as {path.suffix[1:]} ({type(error).__name__})") from None
    if not rows:
        raise TableError("the table has no rows below its header")
    missing = [column for column in required if column not in rows[0].cells]
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

    :param path: ``.csv`` or ``.parquet``.
    :param columns: their types, in order; what a row lacks is blank, and so is NaN.
    """
    check_table_name(path)
    try:
        make_directory(path.parent)
        with whole_file(path) as descriptor, os.fdopen(descriptor, "w+b", closefd=False) as stream:
            if path.suffix.lower() == ".parquet":
                _write_parquet(stream, columns, rows)
            else:
                _write_csv(stream, columns, rows)
    except OSError as error:
        raise TableError(f"the table cannot be written: {system_reason(error)}") from None


def _csv_records(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        if reader.fieldnames is None:
            raise TableError("the table is empty")
        if len(set(reader.fieldnames)) != len(reader.fieldnames):
            raise TableError("the table has two columns of one name")
        for number, record in enumerate(reader, start=1):
            if None in record or any(cell is None for cell in record.values()):
                raise TableError(f"row {number} of the table has not as many cells as its header")
            yield {name.strip(): cell.strip() for name, cell in record.items()}


def _parquet_records(path: Path) -> Iterator[dict[str, str]]:
    from pyarrow import parquet

    for batch in parquet.ParquetFile(path).iter_batches():
        for record in batch.to_pylist():
            yield {name: _as_text(value) for name, value in record.items()}


def _as_text(value: Any) -> str:
    """Text of a Parquet cell as CSV would hold it; null and NaN are blank, True is 1."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value).strip()


def _write_csv(stream: IO[bytes], columns: Mapping[str, ColumnType], rows: Iterable[Mapping[str, Cell]]) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(
            [cell if isinstance(cell, str) or cell is None else _csv_cell(cell) for cell in map(row.get, columns)]
            for row in rows
        )
        text.flush()
    finally:
        text.detach()  # the stream is its caller's to close


def _csv_cell(value: float | bool) -> Cell:
    if isinstance(value, bool):
        return int(value)
    return None if math.isnan(value) else value


def _write_parquet(stream: IO[bytes], columns: Mapping[str, ColumnType], rows: Iterable[Mapping[str, Cell]]) -> None:
    import pyarrow
    from pyarrow import parquet

    types = {
        "text": pyarrow.string(),
        "number": pyarrow.float64(),
        "integer": pyarrow.int64(),
        "flag": pyarrow.bool_(),
    }
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    with parquet.ParquetWriter(stream, schema) as writer:
        remaining = iter(rows)
        while group := list(islice(remaining, ROWS_A_GROUP)):
            # Column by column; as pandas has it, NaN is null.
            arrays = [
                pyarrow.array([row.get(field.name) for row in group], field.type, from_pandas=True) for field in schema
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
