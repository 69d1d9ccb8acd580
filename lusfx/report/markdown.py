"""A page's words and tables as Markdown, for a repository or a manuscript; its plots stay in the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lusfx.messages import one_line
from lusfx.report.page import Facts, Page, Section, Table, Text
from lusfx.version import __version__


def markdown(page: Page) -> str:
    """The page as Markdown."""
    blocks = [f"# {page.title}", page.lead, *(f"> {warning}" for warning in page.warnings)]
    for section in page.sections:
        blocks += _section(section)
    blocks += ["## What this does not show", *page.limits]
    blocks.append(f"Made by lusfx {__version__}. Research use only: not a medical device.")
    return "\n\n".join(blocks) + "\n"


def _section(section: Section) -> list[str]:
    blocks = [f"## {section.title}"]
    for part in section.parts:
        if isinstance(part, Text):
            blocks += part.paragraphs
        elif isinstance(part, Facts):
            blocks.append("\n".join(f"* {what}: {figure}" for figure, what in part.facts))
        elif isinstance(part, Table):
            blocks += [
                *([f"### {part.title}"] if part.title else []),
                markdown_table(part.header, part.rows),
                *([part.note] if part.note else []),
            ]
    return blocks


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return one_line(text).replace("|", r"\|")
