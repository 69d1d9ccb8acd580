"""Reports: one self-contained HTML page, for a phone or a desk, in light or dark, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lusfx.report.figures import calibration_figure, roc_figure, score_figure
from lusfx.version import __version__

__all__ = ["Figure", "Page", "Table", "calibration_figure", "render", "roc_figure", "score_figure"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot with what it says.

    :param svg: one ``<svg>`` element made by this package; it is put into the page as it is.
    """

    title: str
    svg: str
    caption: str


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of text."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Page:
    """The content of a report.

    :param lead: the answer in one sentence.
    :param warnings: what a reader must not miss.
    :param limits: what the figures do not show.
    """

    title: str
    lead: str
    warnings: Sequence[str]
    figures: Sequence[Figure]
    tables: Sequence[Table]
    limits: Sequence[str]


def render(page: Page) -> str:
    """The page as HTML; every text in it is escaped."""
    from jinja2 import Environment, StrictUndefined

    template = (Path(__file__).parent / "page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(page=page, version=__version__)
