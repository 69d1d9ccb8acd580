"""A page's words and tables as Markdown."""

from __future__ import annotations

from lusfx.report import Code, Facts, Figure, Gallery, Page, Section, Table, Text, markdown
from lusfx.report.markdown import markdown_table


def test_words_and_tables_are_there_and_plots_are_not() -> None:
    table = Table("Results", ("name", "AUC"), [("a|b", "0.9"), ("c", "–")], "A note.")
    parts = [
        Text(["A paragraph."]),
        Facts([("0.9", "AUC")]),
        table,
        Gallery([Figure("Plot", "<svg/>", "said")]),
        Code(["x"]),
    ]
    text = markdown(Page("Title", "The answer.", ["Careful."], [Section("Part", parts)], ["A limit."]))
    assert text.startswith(
        "# Title\n\nThe answer.\n\n> Careful.\n\n## Part\n\nA paragraph.\n\n* AUC: 0.9\n\n### Results\n\n"
    )
    assert "| name | AUC |\n| --- | --- |\n| a\\|b | 0.9 |\n| c | – |\n\nA note.\n" in text
    assert "## What this does not show\n\nA limit.\n" in text
    assert "svg" not in text


def test_a_cell_is_one_cell_of_one_line_whatever_is_in_it() -> None:
    lines = markdown_table(["a", "b"], [["x\ny", "p|q"], ["\x1b[2J", "\ud800"]]).splitlines()
    assert lines == ["| a | b |", "| --- | --- |", r"| x\ny | p\|q |", r"| \x1b[2J | \ud800 |"]
