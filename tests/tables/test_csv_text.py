"""Tables as spreadsheets of hospitals write them are read, with what was assumed, and rows are named by their lines."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lusfx.errors import TableError
from lusfx.tables import Row, read_table

TEXT = 'Path,Patient_ID,b_lines\n"a.mp4",M\xfcller,1\nb.mp4,Zo\xeb,0\n'
READ = [("a.mp4", "M\xfcller", "1"), ("b.mp4", "Zo\xeb", "0")]
ENCODINGS = {
    "utf-8": (),
    "utf-8-sig": (),
    "utf-16": ("read as UTF-16",),
    "utf-16-le": ("read as UTF-16",),
    "utf-16-be": ("read as UTF-16",),
    "cp1252": ("read as Windows-1252",),
}
SEPARATORS = {",": (), ";": ("semicolons",), "\t": ("tabs",), "|": ("bars",)}


def cells(rows: list[Row], *columns: str) -> list[tuple[str, ...]]:
    return [tuple(row[column] for column in columns) for row in rows]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_what_a_spreadsheet_wrote_is_read_and_what_was_assumed_is_told(
    tmp_path: Path, encoding: str, separator: str, ends: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(TEXT.replace(",", separator).replace("\n", ends).encode(encoding))
    rows = read_table(path, required=("path",))
    assert cells(rows, "path", "patient_id", "b_lines") == READ
    words = tuple(f"read with {name} between its columns" for name in SEPARATORS[separator])
    assert rows[0].form.notes == ENCODINGS[encoding] + words


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.lists(st.text(st.characters(categories=["L", "N", "P"]), max_size=6), min_size=2, max_size=2), max_size=5
    ),
    encoding=st.sampled_from(["utf-8", "utf-16"]),
    separator=st.sampled_from(list(SEPARATORS)),
)
def test_any_cell_is_the_same_in_any_such_file(
    tmp_path: Path, rows: list[list[str]], encoding: str, separator: str
) -> None:
    path, found = tmp_path / "t.csv", []
    for kind, delimiter in (("utf-8", ","), (encoding, separator)):
        stream = io.StringIO(newline="")
        csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([["path", "zone"], ["x", "y"], *rows])
        path.write_bytes(stream.getvalue().encode(kind))
        found.append(cells(read_table(path), "path", "zone"))
    assert found[0] == found[1]


def test_a_row_is_named_by_the_line_that_an_editor_shows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\npath,note\na,1\n\n"b","two\nlines"\nc,3\n', encoding="utf-8")
    assert [row.said for row in read_table(path)] == ["1 (line 3)", "2 (line 5)", "3 (line 7)"]
    path.write_text('path,note\n"a","two\nlines"\nc\n', encoding="utf-8")
    with pytest.raises(TableError, match=r"row 2 \(line 4\) of the table has not as many"):
        read_table(path)
    assert Row(3, {}).said == "3"


def test_a_column_is_found_whatever_its_capitals(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("PATH,Patient_ID\nx,DOE\n", encoding="utf-8")
    (row,) = read_table(path, required=("path", "patient_id"))
    assert (row["path"], row["PATIENT_id"], row["zone"]) == ("x", "DOE", "")
    assert "Path" in row
    assert "zone" not in row
