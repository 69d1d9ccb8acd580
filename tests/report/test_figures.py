"""Plots take the page's colours, survive what is not defined, and say names as text."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from lusfx.errors import UsageError
from lusfx.metrics import calibration_bins, roc_points
from lusfx.report import (
    Page,
    calibration_comparison_figure,
    calibration_figure,
    histogram_figure,
    roc_comparison_figure,
    roc_figure,
    score_figure,
    write_page,
)

HOSTILE = "<b>A & B</b>"
UNKNOWN = float("nan")
LINE = np.linspace(0, 1, 5)
TARGETS = np.array([0, 1, 0, 1, 1, 0, 1, 0])
PROBABILITIES = np.array([0.1, 0.9, 0.4, 0.6, 0.3, 0.2, 0.8, 0.7])


def figures() -> dict[str, str]:
    bins = calibration_bins(TARGETS, PROBABILITIES, n_bins=4)
    points = roc_points(TARGETS, PROBABILITIES)
    return {
        "roc": roc_figure(*points, {HOSTILE: (0.2, 0.7), "undefined": (UNKNOWN, 0.5)}),
        "rocs": roc_comparison_figure({"local": points, HOSTILE: (LINE, LINE)}),
        "calibration": calibration_figure(bins),
        "calibrations": calibration_comparison_figure({"local": bins, HOSTILE: []}),
        "scores": score_figure(TARGETS, PROBABILITIES, ("no", HOSTILE), {"a": 0.5, "b": 0.51, "never": 1.2}, "clip"),
        "histogram": histogram_figure({"": np.arange(20)}, {HOSTILE: 0.5}, "frame"),
        "nothing": histogram_figure({"": np.zeros(20, np.int64)}, {}, "clip"),
    }


@pytest.mark.parametrize("name", figures())
def test_it_is_one_drawing_in_the_colours_of_the_page(name: str) -> None:
    svg = figures()[name]
    root = ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
    assert root.tag.endswith("svg")
    assert "currentColor" in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg)
    assert HOSTILE not in svg
    assert "font-family: inherit" in svg


def test_names_are_in_it_and_thresholds_that_nothing_reaches_are_not() -> None:
    texts = figures()
    assert "&lt;b&gt;A &amp; B&lt;/b&gt;" in texts["roc"]
    assert "undefined" not in texts["roc"]
    assert "a, 0.50" in texts["scores"]
    assert "b, 0.51" in texts["scores"]
    assert "never" not in texts["scores"]


def test_nothing_is_drawn_of_no_clips() -> None:
    nobody = np.array([], np.int64), np.array([])
    assert "<svg" in score_figure(*nobody, ("no", "yes"), {}, "clip")
    assert "<svg" in calibration_figure([])


def test_a_page_is_written_whole_for_its_owner_only(tmp_path: Path) -> None:
    page = Page("title", "lead", [], [], ["limits"])
    write_page(page, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(UsageError, match="cannot be written"):
        write_page(page, tmp_path / "report.html" / "below")
