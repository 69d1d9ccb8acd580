"""docs/reliability.md states what the full form measured, and nothing else."""

from __future__ import annotations

from tests.faults.children import ROOT
from tests.faults.page import table

PAGE = ROOT / "docs" / "reliability.md"


def test_the_page_has_the_table_of_what_was_measured() -> None:
    """``python -m tests.faults.page`` prints it."""
    assert table() in PAGE.read_text(encoding="utf-8")
