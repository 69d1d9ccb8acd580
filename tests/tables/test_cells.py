"""Text from outside goes into tables and comes back, and nothing in it acts: no formula, no line, no escape sequence."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lusfx.messages import one_line
from lusfx.tables import read_table, write_table

FORMULAS = [
    "=cmd|'/c calc'!A1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\uff1d1+1",
    " =1",
    "\u200b=1",
    "\ufeff@a",
    "'=1",
    "-",
    "--5",
]
HOSTILE = [
    *FORMULAS,
    "\t=1",
    "\r=1",
    "\n=1",
    "a\r\n=1",
    "\x1b[31m",
    "\ud800",
    "a\udcffb",
    "\u2028=1",
    "\u202egpj.exe",
    "\x00",
    "\x85",
]
PLAIN = ["-0.5", "+5", "-1e-05", "'", "'a", "''", "a=1", "L1", "#", '"=1"', "\u00b5m", "\N{WOMAN}\u200d\N{FEMALE SIGN}"]
ENDINGS = pytest.mark.parametrize("ending", [".csv", ".parquet"])


def round_trip(path: Path, texts: list[str]) -> list[str]:
    write_table(path, {"text": "text", "n": "integer"}, [{"text": text, "n": 1} for text in texts])
    return [row["text"] for row in read_table(path)]


@ENDINGS
def test_what_is_read_back_is_what_was_written(tmp_path: Path, ending: str) -> None:
    texts = HOSTILE + PLAIN
    assert round_trip(tmp_path / f"t{ending}", texts) == [one_line(text).strip() for text in texts]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.text(st.one_of(st.sampled_from("'=+-@\t\r\n \u200b5e."), st.characters(codec=None)), max_size=8),
        min_size=1,
        max_size=8,
    )
)
def test_any_text_is_read_back(tmp_path: Path, texts: list[str]) -> None:
    assert round_trip(tmp_path / "t.csv", texts) == [one_line(text).strip() for text in texts]


def test_no_cell_begins_a_formula_and_a_row_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_table(path, {"=A1": "text", "a": "number"}, [{"=A1": text, "a": -0.5} for text in HOSTILE + PLAIN])
    content = path.read_text(encoding="utf-8")
    assert len(content.splitlines()) == len(HOSTILE) + len(PLAIN) + 1
    cells = [row[0] for row in csv.reader(content.splitlines())]
    assert cells[0] == "'=A1"
    for cell in cells[: len(HOSTILE) + 1]:
        assert cell.lstrip("\u200b\ufeff ")[:1] not in {*"=+-@\uff1d\t\r"}
    assert cells[len(HOSTILE) + 1 :] == PLAIN  # numbers stay numbers, and text that does no harm stays as it is
    assert content.count(",-0.5\n") == len(HOSTILE) + len(PLAIN)


@pytest.mark.parametrize("text", HOSTILE)
def test_one_line_is_one_that_any_stream_takes(text: str) -> None:
    line = one_line(text)
    assert line.encode()
    assert len(f"x{line}x".splitlines()) == 1
    assert not set(line) & {*"\x00\t\r\x1b\x85\u202e"}
    assert one_line(line) == line
