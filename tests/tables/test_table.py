"""Tables are read as text, and written whole and as they come."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from lusfx.errors import TableError, UsageError
from lusfx.tables import ColumnType, parquet_file, read_table, write_table

COLUMNS: dict[str, ColumnType] = {"clip": "text", "score": "number", "yes": "flag", "n": "integer"}
ROWS: list[dict[str, Any]] = [
    {"clip": "a", "score": 0.25, "yes": True},
    {"clip": "b, c\n\N{LATIN SMALL LETTER E WITH ACUTE}", "score": None, "yes": False, "n": 3},
]
ENDINGS = pytest.mark.parametrize("ending", [".csv", ".parquet", ".CSV"])


# ---- writing ------------------------------------------------------------------------------------------------------


@ENDINGS
def test_what_is_written_is_read_back_as_text(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table{ending}"
    write_table(path, COLUMNS, ROWS)
    rows = read_table(path, required=["clip"])
    assert [dict(row.cells) for row in rows] == [
        {"clip": "a", "score": "0.25", "yes": "1", "n": ""},
        {"clip": "b, c\\n\N{LATIN SMALL LETTER E WITH ACUTE}", "score": "", "yes": "0", "n": "3"},
    ]
    assert [row.number for row in rows] == [1, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@ENDINGS
def test_columns_come_in_their_order_and_nothing_else_does(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table{ending}"
    write_table(path, {"b": "text", "a": "integer"}, [{"a": 1, "b": "x", "unheard of": "CANARY"}, {}])
    assert [list(row.cells.items()) for row in read_table(path)] == [[("b", "x"), ("a", "1")], [("b", ""), ("a", "")]]
    assert b"CANARY" not in path.read_bytes()


@ENDINGS
def test_numbers_keep_all_their_digits(tmp_path: Path, ending: str) -> None:
    numbers = [0.1 + 0.2, 1e-300, 1.0, -0.0, 123456789.123456789]
    path = tmp_path / f"table{ending}"
    write_table(path, {"number": "number"}, ({"number": number} for number in numbers))
    assert [float(row["number"]) for row in read_table(path)] == numbers


@ENDINGS
def test_a_number_that_is_not_known_is_blank(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table{ending}"
    write_table(path, {"clip": "text", "time_s": "number"}, [{"clip": "a", "time_s": math.nan}, {"clip": "b"}])
    assert [row["time_s"] for row in read_table(path)] == ["", ""]
    assert b"nan" not in path.read_bytes()


def test_columns_keep_their_types_in_parquet_also_where_all_is_blank(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    for rows in (ROWS, [{}], []):
        write_table(path, COLUMNS, rows)
        table = pyarrow.parquet.read_table(path)
        assert table.num_rows == len(rows)
        assert {field.name: str(field.type) for field in table.schema} == {
            "clip": "string",
            "score": "double",
            "yes": "bool",
            "n": "int64",
        }
    write_table(path, COLUMNS, ROWS)
    assert pyarrow.parquet.read_table(path).to_pylist() == [
        {"clip": None, "score": None, "yes": None, "n": None} | row | {"clip": row["clip"].replace("\n", "\\n")}
        for row in ROWS
    ]


def test_a_table_without_rows_has_its_header(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", COLUMNS, [])
    assert (tmp_path / "table.csv").read_text() == "clip,score,yes,n\n"


@ENDINGS
def test_rows_are_written_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """No more rows are held than a group of a Parquet file has: an archive's table takes no archive of memory."""
    monkeypatch.setattr(parquet_file, "ROWS_A_GROUP", 10)
    drawn: list[int] = []

    class Counted(dict[str, Any]):
        held = most = 0

        def __init__(self, number: int) -> None:
            super().__init__(n=number)
            Counted.held += 1
            Counted.most = max(Counted.most, Counted.held)

        def __del__(self) -> None:
            Counted.held -= 1

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(95):
            drawn.append(number)
            yield Counted(number)

    path = tmp_path / f"table{ending}"
    write_table(path, {"n": "integer"}, rows())
    assert [row["n"] for row in read_table(path)] == [str(number) for number in drawn] == list(map(str, range(95)))
    assert Counted.most <= 21  # one group, the next while it is gathered, and the row in hand
    if ending == ".parquet":
        metadata = pyarrow.parquet.ParquetFile(path).metadata
        assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [10] * 9 + [5]


@ENDINGS
@pytest.mark.parametrize("after", [0, 3, 12])
@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt(), OSError(28, "No space", "/x/DOE.csv")])
def test_rows_that_fail_leave_no_table_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, after: int, error: BaseException
) -> None:
    monkeypatch.setattr(parquet_file, "ROWS_A_GROUP", 5)

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(after):
            yield {"n": number}
        raise error

    path = tmp_path / f"table{ending}"
    with pytest.raises((KeyError, KeyboardInterrupt, TableError)) as caught:
        write_table(path, {"n": "integer"}, rows())
    assert "DOE" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    path.write_text("old")
    with pytest.raises((KeyError, KeyboardInterrupt, TableError)):
        write_table(path, {"n": "integer"}, rows())
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_cell_of_another_type_leaves_no_table(tmp_path: Path) -> None:
    with pytest.raises(pyarrow.ArrowException):
        write_table(tmp_path / "table.parquet", {"n": "integer"}, [{"n": "many"}])
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told_without_its_name(tmp_path: Path) -> None:
    (tmp_path / "DOE").write_text("x")
    with pytest.raises(TableError, match="the table cannot be written: ") as caught:
        write_table(tmp_path / "DOE" / "table.csv", COLUMNS, ROWS)
    assert "DOE" not in str(caught.value)


def test_folders_are_made(tmp_path: Path) -> None:
    write_table(tmp_path / "a" / "b" / "table.csv", COLUMNS, ROWS)
    assert len(read_table(tmp_path / "a" / "b" / "table.csv")) == 2


def test_the_ending_says_what_a_table_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.csv or \.parquet"):
        write_table(tmp_path / "table.xlsx", COLUMNS, ROWS)
    with pytest.raises(UsageError, match=r"\.csv or \.parquet"):
        read_table(tmp_path / "table")


# ---- reading ------------------------------------------------------------------------------------------------------


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
        (b"a,b\nCANARY\x9f,2\n", "cannot be read"),
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


def test_a_missing_column_is_named_and_no_cell_is_repeated(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match=r"no column 'path' among its 2\. Its first line must name the columns"):
        read_table(tmp_path / "table.csv", required=["path"])


@pytest.mark.parametrize("name", ["PatientID", "patient id", "PATIENT-ID", "patient_id.", "Exam ID"])
def test_a_column_that_almost_says_whose_a_clip_is_is_not_passed_over(tmp_path: Path, name: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(f"path,{name}\na.mp4,CANARY\n")
    with pytest.raises(TableError, match=r"almost called '(patient|exam)_id'"):
        read_table(table)
    table.write_text("path,PatientID,patient_id\na.mp4,CANARY,1\n")
    assert read_table(table)[0]["patient_id"] == "1"
