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
    "Section",
    "Table",
    "Text",
    "calibration_comparison_figure",
    "calibration_figure",
    "encode_picture",
    "histogram_figure",
    "render",
    "roc_comparison_figure",
    "roc_figure",
    "score_figure",
    "write_page",
]
