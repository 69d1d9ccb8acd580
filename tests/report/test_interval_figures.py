"""Plots of intervals survive what is not defined, say names as text, and share their ends."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from lusfx.report import Point, forest_figure, percent, share_figure

NAN = float("nan")
HOSTILE = "<b>A & B</b>"
SERIES = {
    "one": [Point(1.0, 0.8, 0.7, 0.9), Point(0.01, 0.6, 0.5, 0.7)],
    HOSTILE: [Point(1.0, 0.7, NAN, NAN), Point(0.1, NAN, NAN, NAN)],
    **{f"further {number}": [Point(0.1, 0.5, 0.4, 0.6)] for number in range(8)},
}


@pytest.mark.parametrize(
    "svg",
    [
        share_figure(SERIES, "share", "AUC", 0.5, (0.4, 0.9)),
        share_figure({"one": [Point(1.0, 0.8, 0.7, 0.9)]}, "share", "AUC", 0.5, (0.7, 0.9)),
        forest_figure(SERIES, "difference", 0.0),
        forest_figure({"one": [Point(1.0, 0.1, 0.0, 0.2)]}, "difference", 0.0),
    ],
)
def test_they_are_sound_and_the_same_each_time(svg: str) -> None:
    ElementTree.fromstring(svg)
    assert "<b>" not in svg
    assert "currentColor" in svg
    assert "#01020" not in svg


def test_names_and_shares_can_be_read() -> None:
    svg = share_figure(SERIES, "share", "AUC", 0.5, (0.4, 0.9))
    assert "&lt;b&gt;A &amp; B&lt;/b&gt;" in svg
    for text in ("100%", "10%", "1%", "further 7"):
        assert f">{text}</text>" in svg
    forest = forest_figure(SERIES, "difference", 0.0)
    assert ">one</text>" in forest
    assert forest == forest_figure(SERIES, "difference", 0.0)


@pytest.mark.parametrize(("share", "text"), [(1.0, "100%"), (0.1, "10%"), (0.01, "1%"), (0.005, "0.5%")])
def test_a_share_is_said_in_percent(share: float, text: str) -> None:
    assert percent(share) == text
