"""Parquet files: what they claim is looked at before anything is decoded, and they are decoded in small portions."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

from lusfx.errors import TableError
from lusfx.messages import one_line
from lusfx.tables.cells import Cell, ColumnType
from lusfx.tables.columns import column_names
from lusfx.tables.limits import MAX_BYTES, MAX_CELL_CHARACTERS, check_shape, too_long, within_limits

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetFile

ROWS_A_GROUP = 65_536
"""Rows that a Parquet file holds together, and that are held in memory while it is written."""
ROWS_AT_ONCE = 1024
"""That are decoded together."""
MAX_FOOTER_BYTES = 1 << 24
"""Of the description of all columns at the file's end, which is read whole."""
MAGIC = b"PAR1"
FOOTER_LENGTH = 8
"""Bytes at the end: four of the footer's length, and the magic."""


def read_parquet(stream: io.BufferedReader) -> Iterator[Sequence[str]]:
    """The names of the columns, then the text of each row's cells. Columns of bytes, lists and records are left out.

    :raises TableError: if it exceeds a limit.
    """
    from pyarrow import parquet

    _check_footer(stream)
    found = parquet.ParquetFile(stream)
    schema = found.schema_arrow
    names = column_names(schema.names)
    flat = [number for number, name in enumerate(names) if name and _is_flat(schema.field(number).type)]
    if not flat:
        raise TableError("the table has no column of text, numbers or dates. Bytes, lists and records are not read")
    check_shape(found.metadata.num_rows, len(flat))
    texts = [schema.names[number] for number in flat if _is_text(schema.field(number).type)]
    # A dictionary stays one: a text that stands in every row is held once.
    found = parquet.ParquetFile(stream, read_dictionary=texts)
    _check_sizes(found)
    yield [names[number] for number in flat]
    yield from within_limits(_rows(found, [schema.names[number] for number in flat]), len(flat))


def write_parquet(stream: IO[bytes], columns: Mapping[str, ColumnType], rows: Iterable[Mapping[str, Cell]]) -> None:
    """Write rows as they come, a group at a time."""
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
                pyarrow.array([_as_cell(row.get(field.name)) for row in group], field.type, from_pandas=True)
                for field in schema
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _as_cell(value: Cell) -> Cell:
    return one_line(value) if isinstance(value, str) else value


def _check_footer(stream: io.BufferedReader) -> None:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(size - FOOTER_LENGTH, 0))
    tail = stream.read(FOOTER_LENGTH)
    stream.seek(0)
    if len(tail) < FOOTER_LENGTH or not tail.endswith(MAGIC):
        raise TableError("the table cannot be read as parquet: it does not end as such a file does")
    if int.from_bytes(tail[:4], "little") > MAX_FOOTER_BYTES:
        raise TableError(
            f"the table cannot be read as parquet: it describes its columns in more than {MAX_FOOTER_BYTES:,} bytes"
        )


def _check_sizes(found: ParquetFile) -> None:
    metadata = found.metadata
    n_bytes = 0
    for group in range(metadata.num_row_groups):
        n_bytes += max(metadata.row_group(group).total_byte_size, 0)
    if n_bytes > MAX_BYTES:
        raise TableError(f"the table's columns have more than {MAX_BYTES:,} bytes")


def _is_flat(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    of = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_primitive(of) or types.is_decimal(of) or types.is_null(of) or _is_text(of))


def _is_text(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _rows(found: ParquetFile, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    done = 0
    for batch in found.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(columns)):
        # By its name: the columns come in the file's order, which is that of the names.
        yield from zip(*(_texts(batch.column(name), done + 1) for name in columns), strict=True)
        done += batch.num_rows


def _texts(column: pyarrow.Array, first_row: int) -> list[str]:
    """Texts of a portion of a column; those of a dictionary are shared."""
    from pyarrow import compute, types

    if types.is_dictionary(column.type):
        known = _texts(column.dictionary, first_row)
        return ["" if index is None else known[index] for index in column.indices.to_pylist()]
    if _is_text(column.type):
        longest = compute.max(compute.binary_length(column)).as_py() or 0
        if longest > 4 * MAX_CELL_CHARACTERS:  # bytes, of which a character has four at most
            raise too_long(first_row)
    return [_as_text(value) for value in column.to_pylist()]


def _as_text(value: Any) -> str:
    """Text of a Parquet cell as CSV would hold it; null and NaN are blank, True is 1."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value).strip()
