"""Reports are one page that needs nothing else, and say what they were given."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from lusfx.metrics import calibration_bins, roc_points
from lusfx.report import Figure, Page, Table, calibration_figure, render, roc_figure, score_figure

HOSTILE = "<script>alert('x')</script>"


class Checker(HTMLParser):
    """Follows the nesting, and collects what a browser would fetch."""

    VOID = frozenset({"meta", "path", "use", "rect", "br", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture
def page(generator: np.random.Generator) -> Page:
    targets = generator.integers(0, 2, 80)
    probabilities = np.clip(generator.normal(0.4 + 0.2 * targets, 0.2), 0, 1)
    figures = [
        Figure("ROC", roc_figure(*roc_points(targets, probabilities), {"screen": (0.3, 0.9)}), "caption"),
        Figure("Calibration", calibration_figure(calibration_bins(targets, probabilities)), "caption"),
        Figure("Scores", score_figure(targets, probabilities, ("no", "yes"), {"screen": 0.4, "never": 1.5}), "caption"),
    ]
    return Page(HOSTILE, "AUC 0.789", [HOSTILE], figures, [Table("T", ("a",), [(HOSTILE,), ("0.123",)])], ["limits"])


def test_the_page_is_whole_and_fetches_nothing(page: Page) -> None:
    checker = Checker()
    html = render(page)
    checker.feed(html)
    assert checker.open == []
    assert all(target.startswith("#") for target in checker.fetched)
    assert "script" not in checker.tags
    assert not re.search(r"url\((?!#)", html)


def test_it_says_what_it_was_given(page: Page) -> None:
    html = render(page)
    for text in ("AUC 0.789", "0.123", "limits", "screen", "What this does not show", "not a medical device"):
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
