"""What a page is made of, and the page as HTML."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lusfx.durable import make_directory, write_whole
from lusfx.errors import UsageError
from lusfx.messages import system_reason
from lusfx.report.cines import CineBrowser
from lusfx.version import __version__

FILES = Path(__file__).parent
SECTIONS_WITH_CONTENTS = 3
"""From so many sections on a page begins with a list of them."""


@dataclass(frozen=True, slots=True)
class Text:
    """Paragraphs.

    :param marked: whether they are set off, as what a reader must not miss.
    """

    kind: ClassVar[str] = "text"
    paragraphs: Sequence[str]
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Code:
    """Lines as they are typed."""

    kind: ClassVar[str] = "code"
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """A few figures in large type.

    :param facts: ``(figure, what it is)`` each.
    """

    kind: ClassVar[str] = "facts"
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot with what it says.

    :param svg: one ``<svg>`` element made by this package; it is put into the page as it is.
    """

    title: str
    svg: str
    caption: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """Figures beside each other, as many as there is room for."""

    kind: ClassVar[str] = "gallery"
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of text. On a phone each row is a block of its own, so that nothing is cut.

    :param title: blank where the section's own says it.
    :param note: what stands below it.
    """

    kind: ClassVar[str] = "table"
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


Part = Text | Code | Facts | Gallery | Table | CineBrowser


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page under a title of its own; several are listed at the top of the page."""

    title: str
    parts: Sequence[Part]


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
    sections: Sequence[Section]
    limits: Sequence[str]

    @property
    def parts(self) -> list[Part]:
        """Those of all sections, in order."""
        return [part for section in self.sections for part in section.parts]

    @property
    def figures(self) -> list[Figure]:
        """Those of all sections, in order."""
        return [figure for part in self.parts if isinstance(part, Gallery) for figure in part.figures]

    @property
    def tables(self) -> list[Table]:
        """Those of all sections, in order."""
        return [part for part in self.parts if isinstance(part, Table)]


def render(page: Page) -> str:
    """The page as HTML; every text in it is escaped.

    The page forbids itself, by a content security policy, to load anything and to run any script but its own.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=FileSystemLoader(FILES)
    )
    environment.filters["own_ids"] = lambda svg, number: Markup(_own_ids(svg, f"f{number}-"))  # noqa: S704 - drawn here
    browses = any(isinstance(part, CineBrowser) for part in page.parts)
    script = (FILES / "cines.js").read_text(encoding="utf-8") if browses else ""
    return environment.get_template("page.html.j2").render(
        page=page,
        version=__version__,
        style=Markup((FILES / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - this package's own file
        script=Markup(script),  # noqa: S704 - likewise
        policy=_policy(script),
        with_contents=len(page.sections) >= SECTIONS_WITH_CONTENTS,
    )


def write_page(page: Page, path: Path) -> None:
    """Write a page as HTML, whole or not at all, readable by its owner only.

    :raises UsageError: if it cannot be written there.
    """
    content = render(page).encode("utf-8")
    try:
        make_directory(path.absolute().parent)
        write_whole(path, content)
    except OSError as error:
        raise UsageError(f"the report cannot be written: {system_reason(error)}") from None


def _policy(script: str) -> str:
    scripts = "'none'"
    if script:
        scripts = f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {scripts}; base-uri 'none'; "
        "form-action 'none'"
    )


def _own_ids(svg: str, prefix: str) -> str:
    """The drawing with names that no other drawing of the page has: one that is hidden would hide others' clip paths."""
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    return svg.replace('href="#', f'href="#{prefix}').replace("url(#", f"url(#{prefix}")
