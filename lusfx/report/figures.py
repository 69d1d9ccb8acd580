"""Plots as inline SVG that reads in light and in dark: lines and text take the page's colour."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#010203"
"""Stands for the page's text colour while drawing; no other element has it."""
BLUE, ORANGE = "#3b7dd8", "#e07b00"
"""Told apart by all common kinds of colour vision (Okabe and Ito's blue and vermilion, lightened)."""


class Bin(Protocol):
    """A point of a calibration plot."""

    @property
    def predicted(self) -> float: ...
    @property
    def observed(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def roc_figure(
    false_rate: NDArray[np.float64],
    true_rate: NDArray[np.float64],
    operating_points: Mapping[str, tuple[float, float]],
) -> str:
    """ROC curve as SVG.

    :param operating_points: name -> (1 - specificity, sensitivity).
    """
    figure, axes = _square_axes("1 - specificity", "sensitivity")
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    axes.plot(false_rate, true_rate, color=BLUE, linewidth=2, drawstyle="steps-post")
    for name, (x, y) in operating_points.items():
        axes.plot([x], [y], marker="o", color=ORANGE, markersize=7)
        axes.annotate(name, (x, y), xytext=(8, -10), textcoords="offset points", color=INK)
    return _svg(figure, "ROC curve")


def calibration_figure(bins: Sequence[Bin]) -> str:
    """Observed share against predicted probability, with intervals, as SVG."""
    figure, axes = _square_axes("predicted probability", "observed share")
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    x = [point.predicted for point in bins]
    y = [point.observed for point in bins]
    below = [point.observed - point.low for point in bins]
    above = [point.high - point.observed for point in bins]
    axes.errorbar(x, y, yerr=np.maximum([below, above], 0), fmt="o-", color=BLUE, ecolor=BLUE, capsize=3, linewidth=1.5)
    return _svg(figure, "calibration plot")


def score_figure(
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    thresholds: Mapping[str, float],
    unit: str,
) -> str:
    """Histogram of scores by class, thresholds drawn, as SVG.

    :param unit: what is counted: ``clip``, say.
    """
    figure, axes = _axes((4, 4), "probability", f"{unit}s")
    edges = np.linspace(0, 1, 21).tolist()
    for number, colour in ((0, BLUE), (1, ORANGE)):
        axes.hist(probabilities[targets == number], edges, color=colour, alpha=0.6, label=classes[number])
    for place, (name, threshold) in enumerate(sorted(thresholds.items(), key=lambda item: item[1])):
        if threshold <= 1:
            axes.axvline(threshold, color=INK, linewidth=1, linestyle="--")
            axes.text(
                threshold, 1.02 + 0.07 * place, name, transform=axes.get_xaxis_transform(), color=INK, ha="center"
            )
    axes.set_xlim(0, 1)
    axes.legend(frameon=False, labelcolor=INK)
    return _svg(figure, "scores by class")


def _square_axes(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure, axes = _axes((4, 4), x_label, y_label)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    return figure, axes


def _axes(size_inches: tuple[float, float], x_label: str, y_label: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(size_inches, layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_xlabel(x_label, color=INK)
    axes.set_ylabel(y_label, color=INK)
    axes.tick_params(colors=INK)
    for name, spine in axes.spines.items():
        spine.set_color(INK)
        spine.set_visible(name in ("left", "bottom"))
    return figure, axes


def _svg(figure: Figure, description: str) -> str:
    """The figure as one ``<svg>`` element, the same for the same data."""
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": description}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(
        r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg \1 role="img" aria-label="{description}">', text, count=1
    )
    return text.replace(INK, "currentColor").replace("xlink:href", "href")
