"""Reports: one self-contained HTML page, for a phone or a desk, in light or dark, without a network."""

from __future__ import annotations

from lusfx.report.cines import Cine, CineBrowser, encode_picture
from lusfx.report.figures import (
    calibration_comparison_figure,
    calibration_figure,
    histogram_figure,
    roc_comparison_figure,
    roc_figure,
    score_figure,
)
from lusfx.report.interval_figures import Point, forest_figure, percent, share_figure
from lusfx.report.markdown import markdown, markdown_table
from lusfx.report.page import Code, Facts, Figure, Gallery, Page, Part, Section, Table, Text, render, write_page

__all__ = [
    "Cine",
    "CineBrowser",
    "Code",
    "Facts",
    "Figure",
    "Gallery",
    "Page",
    "Part",
    "Point",
    "Section",
    "Table",
    "Text",
    "calibration_comparison_figure",
    "calibration_figure",
    "encode_picture",
    "forest_figure",
    "histogram_figure",
    "markdown",
    "markdown_table",
    "percent",
    "render",
    "roc_comparison_figure",
    "roc_figure",
    "score_figure",
    "share_figure",
    "write_page",
]
