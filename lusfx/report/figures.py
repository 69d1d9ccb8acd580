"""Plots as inline SVG that reads in light and in dark: lines and text take the page's colours."""

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
BLUE, ORANGE = "#010204", "#010205"
"""Stand for two colours of the page that are told apart by all common kinds of colour vision."""
GREEN, PINK = "#010206", "#010207"
"""Two more; what they mark differs in its marks, too."""
COLOURS = {
    INK: "currentColor",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREEN: "var(--green)",
    PINK: "var(--pink)",
}
LINES = ("--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)))
MARKERS = ("o", "s", "^", "D", "v")
N_BINS = 20

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""False and true positive rates, from (0, 0) to (1, 1)."""


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

    :param operating_points: name -> (1 - specificity, sensitivity); one that is not finite is left out.
    """
    figure, axes = _square_axes("1 - specificity", "sensitivity")
    axes.plot(false_rate, true_rate, color=BLUE, linewidth=2, drawstyle="steps-post")
    points = {name: point for name, point in operating_points.items() if np.isfinite(point).all()}
    for number, (name, (x, y)) in enumerate(points.items()):
        marker = MARKERS[number % len(MARKERS)]
        axes.plot([x], [y], marker=marker, color=ORANGE, markersize=8, linestyle="none", label=name)
    if points:  # names beside the points would lie on one another where the points are close
        axes.legend(frameon=False, labelcolor=INK, loc="lower right")
    return as_svg(figure, "ROC curve")


def roc_comparison_figure(curves: Mapping[str, Curve]) -> str:
    """One or two ROC curves as SVG, by name."""
    figure, axes = _square_axes("1 - specificity", "sensitivity")
    for (name, (false_rate, true_rate)), colour, line in zip(curves.items(), (BLUE, ORANGE), ("-", "--"), strict=False):
        axes.plot(false_rate, true_rate, line, color=colour, linewidth=2, drawstyle="steps-post", label=name)
    axes.legend(frameon=False, labelcolor=INK, loc="lower right")
    return as_svg(figure, "ROC curves")


def calibration_figure(bins: Sequence[Bin]) -> str:
    """Observed share against predicted probability, with intervals, as SVG."""
    figure, axes = _square_axes("predicted probability", "observed share")
    _draw_bins(axes, bins, BLUE, "o-", "")
    return as_svg(figure, "calibration plot")


def calibration_comparison_figure(series: Mapping[str, Sequence[Bin]]) -> str:
    """One or two calibration plots in one, as SVG, by name."""
    figure, axes = _square_axes("predicted probability", "observed share")
    for (name, bins), colour, line in zip(series.items(), (BLUE, ORANGE), ("o-", "s--"), strict=False):
        _draw_bins(axes, bins, colour, line, name)
    # The diagonal leaves this corner free of all but the worst of calibrations.
    axes.legend(frameon=False, labelcolor=INK, loc="upper left")
    return as_svg(figure, "calibration plots")


def score_figure(
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    thresholds: Mapping[str, float],
    unit: str,
    measure: str = "probability",
) -> str:
    """Histogram of scores by class, thresholds drawn, as SVG.

    :param unit: what is counted: ``clip``, say.
    :param measure: what the scores are.
    """
    edges = np.linspace(0, 1, N_BINS + 1)
    counts = {classes[number]: np.histogram(probabilities[targets == number], edges)[0] for number in (0, 1)}
    return histogram_figure(counts, thresholds, unit, measure)


def histogram_figure(
    counts: Mapping[str, NDArray[np.int64]], thresholds: Mapping[str, float], unit: str, measure: str = "probability"
) -> str:
    """Histogram of probabilities from counts in bins of equal width, thresholds drawn, as SVG.

    :param counts: by name, of one or two classes; blank where there is one and it needs no name.
    :param thresholds: those above 1, which no probability reaches, are left out.
    :param unit: what is counted: ``clip``, say.
    :param measure: what lies along the axis from 0 to 1.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_axes((4, 4), measure, f"{unit}s")
    for (name, values), colour in zip(counts.items(), (BLUE, ORANGE), strict=False):
        edges = np.linspace(0, 1, len(values) + 1)
        axes.stairs(values, edges, fill=True, color=colour, alpha=0.35)
        axes.stairs(values, edges, color=colour, linewidth=1.5, label=name or None)
    # Named in the legend: names at the lines would lie on one another where thresholds are close.
    reached = sorted(((value, name) for name, value in thresholds.items() if value <= 1))
    for number, (threshold, name) in enumerate(reached):
        line = LINES[number % len(LINES)]
        axes.axvline(threshold, color=INK, linewidth=1.2, linestyle=line, label=f"{name}, {threshold:.2f}")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(1.0, 1.05 * max(float(values.max(initial=0)) for values in counts.values())))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if reached or any(counts):
        figure.legend(frameon=False, labelcolor=INK, loc="outside lower center", ncols=2)
    return as_svg(figure, "histogram of probabilities")


def _draw_bins(axes: Axes, bins: Sequence[Bin], colour: str, line: str, name: str) -> None:
    x = [point.predicted for point in bins]
    y = [point.observed for point in bins]
    below = [point.observed - point.low for point in bins]
    above = [point.high - point.observed for point in bins]
    axes.errorbar(
        x,
        y,
        yerr=np.maximum([below, above], 0),
        fmt=line,
        color=colour,
        ecolor=colour,
        elinewidth=0.8,
        capsize=2,
        linewidth=1.5,
        label=name or None,
    )


def _square_axes(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure, axes = new_axes((4, 4), x_label, y_label)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    return figure, axes


def new_axes(size_inches: tuple[float, float], x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """An empty plot in the page's colours."""
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


def as_svg(figure: Figure, description: str) -> str:
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
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1; font-family: inherit", text)
    for stand_in, colour in COLOURS.items():
        text = text.replace(stand_in, colour)
    return text.replace("xlink:href", "href")
