"""Reports are one page that needs nothing else, and say what they were given."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from lusfx.metrics import calibration_bins, roc_points
from lusfx.report import (
    Facts,
    Figure,
    Gallery,
    Page,
    Section,
    Table,
    Text,
    calibration_figure,
    render,
    roc_figure,
    score_figure,
)

HOSTILE = "<script>alert('x')</script>"


class Checker(HTMLParser):
    """Follows the nesting, and collects what a browser would fetch."""

    VOID = frozenset({"meta", "path", "use", "rect", "br", "link", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attributes)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value or "" for name, value in attributes if name == "id"]
        self.fetched += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def checked(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    return checker


@pytest.fixture
def page(generator: np.random.Generator) -> Page:
    targets = generator.integers(0, 2, 80)
    probabilities = np.clip(generator.normal(0.4 + 0.2 * targets, 0.2), 0, 1)
    thresholds = {"screen": 0.4, "never": 1.5}
    figures = [
        Figure("ROC", roc_figure(*roc_points(targets, probabilities), {"screen": (0.3, 0.9)}), "caption"),
        Figure("Calibration", calibration_figure(calibration_bins(targets, probabilities)), "caption"),
        Figure("Scores", score_figure(targets, probabilities, ("no", "yes"), thresholds, "clip"), "caption"),
    ]
    table = Table("T", ("a",), [(HOSTILE,), ("0.123",)], HOSTILE)
    sections = [
        Section("First", [Facts([("0.789", HOSTILE)]), Gallery(figures)]),
        Section(HOSTILE, [Text([HOSTILE]), table]),
        Section("Third", [Text(["set off"], marked=True), Gallery(figures)]),
    ]
    return Page(HOSTILE, "AUC 0.789", [HOSTILE], sections, ["limits"])


def test_the_page_is_whole_and_fetches_nothing(page: Page) -> None:
    html = render(page)
    checker = checked(html)
    assert all(target.startswith("#") for target in checker.fetched)
    assert "script" not in checker.tags
    assert not re.search(r"url\((?!#)", html)
    assert "default-src 'none'" in html.replace("&#39;", "'")


def test_every_name_in_the_page_is_one_thing_s_and_every_link_leads_to_one(page: Page) -> None:
    """Figures that are drawn twice too."""
    checker = checked(render(page))
    assert len(set(checker.ids)) == len(checker.ids)
    assert {target.removeprefix("#") for target in checker.fetched} <= set(checker.ids)


def test_several_sections_are_listed_at_the_top(page: Page) -> None:
    html = render(page)
    assert html.index("#part-3") < html.index('id="part-1"')
    short = Page(page.title, page.lead, [], page.sections[:1], page.limits)
    assert "#part-1" not in render(short)


def test_what_a_page_holds_can_be_had_in_order(page: Page) -> None:
    assert [figure.title for figure in page.figures] == ["ROC", "Calibration", "Scores"] * 2
    assert [table.title for table in page.tables] == ["T"]


def test_it_says_what_it_was_given(page: Page) -> None:
    html = render(page)
    for text in (
        "AUC 0.789",
        "0.123",
        "limits",
        "set off",
        "screen",
        "What this does not show",
        "not a medical device",
    ):
        assert text in html


def test_text_is_escaped(page: Page) -> None:
    assert HOSTILE not in render(page)
    assert "&lt;script&gt;" in render(page)


def test_it_reads_on_a_phone_and_in_the_dark(page: Page) -> None:
    html = render(page)
    assert 'name="viewport"' in html
    assert "prefers-color-scheme: dark" in html
    assert "currentColor" in html


def test_the_same_data_give_the_same_page(page: Page, generator: np.random.Generator) -> None:
    points = np.linspace(0, 1, 9)
    assert roc_figure(points, points, {}) == roc_figure(points, points, {})
