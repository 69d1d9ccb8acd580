"""Cells: the text of one, as it is written and as it is read. What a cell of a CSV file may begin with is decided here alone.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, and a formula can call programs. Such
a text gets an apostrophe before it, which spreadsheets take for the mark of text; reading takes it away again. Numbers stay.
"""

from __future__ import annotations

import math
import re
from typing import Literal

from lusfx.messages import one_line

Cell = str | float | int | bool | None
ColumnType = Literal["text", "number", "integer", "flag"]

MARK = "'"
FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""The last four are those of full width, which some spreadsheets take for the others."""
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def csv_text(cell: Cell) -> Cell:
    """What a CSV file holds of a cell: text in one line that is no formula, flags as 0 and 1, nothing for NaN."""
    if isinstance(cell, str):
        text = one_line(cell)
        return MARK + text if _is_formula(text) else text
    if isinstance(cell, bool):
        return int(cell)
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def text_of_csv(cell: str) -> str:
    """The text of a cell that a CSV file holds, stripped."""
    text = cell.strip()
    return text[1:].strip() if text.startswith(MARK) and _is_formula(text[1:]) else text


def _is_formula(text: str) -> bool:
    # A text that has the mark already gets another one, so that reading gives back what was written.
    if not text or (text[0] not in FORMULA and text[0] != MARK and text[0].isprintable() and text[0] != " "):
        return False
    for position, char in enumerate(text):
        if char in FORMULA:
            return not NUMBER.fullmatch(text, position)
        if char != MARK and not char.isspace() and char.isprintable():
            return False
    return False
