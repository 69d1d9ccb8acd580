"""Tables that say two things, never end or grow end in one line that says what is wrong, and before they take memory."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from lusfx.errors import TableError
from lusfx.tables import limits, read_table

TWICE = [
    ("b_lines", " b_lines"),
    ("b_lines", "b_lines\u00a0"),
    ("b_lines", "B_lines"),
    ("b_lines", "b_lines\u200b"),
    ("b_lines", "b\u00ad_lines"),
    ("b_lines", "\ufeffb_lines"),
    ("b_lines", "\uff42_lines"),
    ("b_lines", "b_lines\ufe0f"),
    ("b_lines", "b_lines\x00"),
    ("B  lines", "b lines"),
    ("l\u00e4sion", "la\u0308sion"),
]


def table(path: Path, header: list[str], row: list[str]) -> Path:
    if path.suffix == ".csv":
        path.write_text(f"{','.join(header)}\n{','.join(row)}\n", encoding="utf-8")
    else:
        parquet.write_table(pa.Table.from_arrays([pa.array([cell]) for cell in row], names=header), path)
    return path


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize("names", TWICE)
def test_two_columns_that_people_take_for_one_are_refused(tmp_path: Path, ending: str, names: tuple[str, str]) -> None:
    for header in (["path", *names], [*names[::-1], "path"], ["path", names[0], names[0]]):
        with pytest.raises(TableError, match="two columns of one name"):
            read_table(table(tmp_path / f"t{ending}", header, ["x.mp4", "1", "0"]))


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_name_is_what_people_see_of_it(tmp_path: Path, ending: str) -> None:
    header = ["\ufeff path\u00a0", "", " b_lines\u200b ", ""]
    (row,) = read_table(table(tmp_path / f"t{ending}", header, ["x.mp4", "1", "0", "2"]))
    assert dict(row.cells) == {"path": "x.mp4", "b_lines": "0"}


def coded(value: str, n: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([value]))


def write(path: Path, columns: dict[str, object]) -> None:
    parquet.write_table(pa.table(columns), path, compression="zstd")


BOMBS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "rows": (".parquet", lambda p: write(p, {"path": coded("x", 2_000_001)}), "2,000,000 rows"),
    "cells": (
        ".parquet",
        lambda p: write(p, {f"c{n}": coded("x", 100_000) for n in range(400)}),
        "33,554,432 cells",
    ),
    "wide cells": (".parquet", lambda p: write(p, {"path": coded("y" * 1_000_000, 20_000)}), "10,000 characters"),
    "wide texts": (".parquet", lambda p: write(p, {"path": ["y" * 1_000_000] * 200}), "10,000 characters"),
    "columns": (".parquet", lambda p: write(p, {f"c{n}": [1] for n in range(1001)}), "1,000 columns"),
    "footer": (".parquet", lambda p: p.write_bytes(b"PAR1" + bytes(99) + b"\xff\xff\xff\x7fPAR1"), "describes its"),
    "bytes": (".parquet", lambda p: write(p, {"path": [b"\xff\xfe"], "p": [[["a"]]]}), "no column of text"),
    "zip": (".parquet", lambda p: p.write_bytes(b"PK\x03\x04" + bytes(99)), "does not end as"),
    "csv columns": (".csv", lambda p: p.write_text("path," * 1001 + "\n"), "1,000 columns"),
    "line": (".csv", lambda p: p.write_bytes(b"path\n" + b"x" * 5_000_000), "line of more than"),
    "cell": (".csv", lambda p: p.write_text("path\n" + "x" * 10_001), "row 1 of the table has a cell of more"),
    "quote": (".csv", lambda p: p.write_text('path\na\n"b\n' + "CANARY\n" * 99_999), "a quote is never closed"),
    "last quote": (".csv", lambda p: p.write_text('path\na\n"CANARY\n'), "a quote is not closed"),
    "UTF-16 cut": (".csv", lambda p: p.write_bytes("path,a\nCANARY,1\n".encode("utf-16")[:-1]), "not the text"),
    "UTF-32": (".csv", lambda p: p.write_bytes("path,a\nCANARY,1\n".encode("utf-32-le")), "is no text"),
    "DOS": (".csv", lambda p: p.write_bytes("path\nM\xfcCANARY\n".encode("cp850")), "not UTF-8"),
    "Mac": (".csv", lambda p: p.write_bytes("path\nM\xfcCANARY\n".encode("mac-roman")), "not UTF-8"),
    "UTF-8 cut": (".csv", lambda p: p.write_bytes("path\nM\xfcCANARY,\xfc".encode()[:-1]), "not UTF-8"),
    "UTF-8 and more": (".csv", lambda p: p.write_bytes("path\nM\xfcCANARY".encode() + b"\xfc"), "not UTF-8"),
    "two separators": (".csv", lambda p: p.write_text("path;patient_id,zone\nCANARY;1,L\n"), "commas or semicolons"),
    "semicolons": (".csv", lambda p: p.write_text("file;patient\nCANARY;1\n"), "separated by semicolons"),
    "tabs": (".csv", lambda p: p.write_text("file\tpatient\nCANARY\t1\n"), "separated by tabs"),
    "sep": (".csv", lambda p: p.write_text("sep=,\npath,patient_id\nCANARY,1\n"), "a line 'sep='"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_table_that_is_none_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    ending, make, message = BOMBS[name]
    path = tmp_path / f"t{ending}"
    make(path)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        with pytest.raises(TableError, match=message) as caught:
            read_table(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "CANARY" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert peak + pa.total_allocated_bytes() - before < 100 << 20


@pytest.mark.skipif(os.name == "nt", reason="no such files")
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize("kind", ["pipe", "device", "link", "directory", "missing"])
def test_what_is_no_plain_file_is_no_table(tmp_path: Path, ending: str, kind: str) -> None:
    path = tmp_path / f"CANARY{ending}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind != "missing":
        path.symlink_to("/dev/zero" if kind == "device" else path)
    with pytest.raises(TableError, match="the table cannot be read: ") as caught:
        read_table(path)
    assert "CANARY" not in str(caught.value)


def test_a_link_to_a_table_is_its_owners_own(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(table(tmp_path / "t.csv", ["path"], ["x.mp4"]))
    assert read_table(tmp_path / "link.csv")[0]["path"] == "x.mp4"


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_limits_are_counted_over_the_whole_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    rows = [f"{number:08}" for number in range(3000)]
    if ending == ".csv":
        path.write_text("\n".join(["path", *rows]))
    else:
        write(path, {"path": rows})
    assert [row["path"] for row in read_table(path)] == rows
    for name, limit in (
        ("MAX_ROWS", 2999),
        ("MAX_CELLS", 2999),
        ("MAX_CHARACTERS", 8 * 2999),
        ("MAX_CELL_CHARACTERS", 7),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(limits, name, limit)
            with pytest.raises(TableError, match="more than"):
                read_table(path)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["a", None, "b", "a"], ["a", "", "b", "a"]),
        ([1, None, 3, -1], ["1.0", "", "3.0", "-1.0"]),
        ([True, False, None, True], ["1", "0", "", "1"]),
    ],
)
def test_texts_of_a_dictionary_are_those_of_its_cells(tmp_path: Path, values: list[object], texts: list[str]) -> None:
    kind = pa.float64() if isinstance(values[0], int) and not isinstance(values[0], bool) else None
    array = pa.array(values * 1000, kind)
    write(
        tmp_path / "t.parquet",
        {"z": array, "a": array if kind or array.type == pa.bool_() else array.dictionary_encode()},
    )
    rows = read_table(tmp_path / "t.parquet")
    assert [row["a"] for row in rows] == [row["z"] for row in rows] == texts * 1000
