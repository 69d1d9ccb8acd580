"""Tables are read as text and written whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from lusfx.errors import TableError, UsageError
from lusfx.tables import read_table, write_table

ROWS = [{"clip": "a", "score": 0.25, "yes": True, "n": None}, {"clip": "b, c", "score": None, "yes": False, "n": 3}]
COLUMNS = ["clip", "score", "yes", "n"]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_what_is_written_is_read_back_as_text(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table{ending}"
    write_table(path, COLUMNS, ROWS)
    rows = read_table(path, required=["clip"])
    assert [dict(row.cells) for row in rows] == [
        {"clip": "a", "score": "0.25", "yes": "1", "n": ""},
        {"clip": "b, c", "score": "", "yes": "0", "n": "3"},
    ]
    assert [row.number for row in rows] == [1, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_byte_order_mark_and_blanks_are_no_content(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("\ufeffpath , a\r\n x.mp4 , 1 \r\n".encode())
    assert dict(read_table(path)[0].cells) == {"path": "x.mp4", "a": "1"}


def test_parquet_nulls_and_nans_are_blank(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": [1.0, float("nan"), None], "b": [True, False, None]}), path)
    assert [tuple(row.cells.values()) for row in read_table(path)] == [("1.0", "1"), ("", "0"), ("", "")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"a,b\n", "no rows"),
        (b"a,a\n1,2\n", "two columns of one name"),
        (b"a,b\n1\n", "row 1"),
        (b"a,b\n1,2,3\n", "row 1"),
        (b"a,b\nCANARY\xff,2\n", "cannot be read"),
        (b'a,b\n"CANARY,2\n', "cannot be read|row 1"),
    ],
)
def test_a_broken_table_is_named_without_its_content(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match=message) as caught:
        read_table(path)
    assert "CANARY" not in str(caught.value)


def test_a_broken_parquet_file(tmp_path: Path) -> None:
    (tmp_path / "table.parquet").write_bytes(b"PAR1" * 9)
    with pytest.raises(TableError, match="cannot be read as parquet"):
        read_table(tmp_path / "table.parquet")


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match=r"no column 'path'; it has: a, b"):
        read_table(tmp_path / "table.csv", required=["path"])


def test_the_ending_says_what_a_table_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.csv or \.parquet"):
        write_table(tmp_path / "table.xlsx", COLUMNS, ROWS)


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(KeyError):
        write_table(path, ["missing"], ROWS)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]
