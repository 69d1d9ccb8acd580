"""Plots of figures with intervals: against a share on a logarithmic axis, and under one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lusfx.report.figures import BLUE, GREEN, INK, LINES, MARKERS, ORANGE, PINK, as_svg, new_axes

HUES = (BLUE, ORANGE, GREEN, PINK, INK)
SPREAD = 0.025
"""Of the axis: how far the intervals of two series at one share stand apart."""
ROW_INCHES = 0.24


@dataclass(frozen=True, slots=True)
class Point:
    """A figure with its interval.

    :param x: share of something, above 0.
    """

    x: float
    value: float
    low: float
    high: float


def share_figure(
    series: Mapping[str, Sequence[Point]], x_label: str, y_label: str, chance: float, ends: tuple[float, float]
) -> str:
    """Figures against a share, a line a series, as SVG.

    :param chance: where nothing is known; a dotted line.
    :param ends: lowest and highest that is drawn, the same for plots that are to be compared.
    """
    figure, axes = new_axes((5, 4), x_label, y_label)
    shares = sorted({point.x for points in series.values() for point in points})
    axes.axhline(chance, color=INK, linewidth=0.8, linestyle=":")
    for number, (name, points) in enumerate(series.items()):
        ordered = sorted(points, key=lambda point: point.x)
        aside = (shares[-1] / shares[0]) ** (SPREAD * (number - (len(series) - 1) / 2))
        values = np.array([[p.x * aside, p.value, p.value - p.low, p.high - p.value] for p in ordered]).T
        axes.errorbar(
            values[0],
            values[1],
            yerr=np.maximum(np.nan_to_num(values[2:]), 0),
            color=HUES[number % len(HUES)],
            marker=MARKERS[number % len(MARKERS)],
            linestyle=("-", *LINES)[number // len(HUES) % (1 + len(LINES))],
            linewidth=1.5,
            elinewidth=0.8,
            capsize=2,
            label=name,
        )
    low, high = min(*ends, chance), max(*ends, chance)
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set_xscale("log")
    axes.set_xticks(shares, [percent(share) for share in shares])
    axes.set_xticks([], minor=True)
    figure.legend(frameon=False, labelcolor=INK, loc="outside lower center", ncols=2)
    return as_svg(figure, f"{y_label} against {x_label}")


def forest_figure(rows: Mapping[str, Sequence[Point]], x_label: str, no_difference: float) -> str:
    """Figures with intervals under one another, a row a name and in it a mark a share, as SVG.

    :param no_difference: a dotted line.
    """
    from matplotlib.ticker import MaxNLocator

    shares = sorted({point.x for points in rows.values() for point in points}, reverse=True)
    n_lines = len(rows) * (len(shares) + 1)
    figure, axes = new_axes((5, 1.4 + ROW_INCHES * n_lines), x_label, "")
    axes.axvline(no_difference, color=INK, linewidth=0.8, linestyle=":")
    for number, share in enumerate(shares):
        found = [(row, point) for row, points in enumerate(rows.values()) for point in points if point.x == share]
        heights = [row * (len(shares) + 1) + number for row, _ in found]
        values = np.array([[p.value, p.value - p.low, p.high - p.value] for _, p in found]).T
        axes.errorbar(
            values[0],
            heights,
            xerr=np.maximum(np.nan_to_num(values[1:]), 0),
            color=HUES[number % len(HUES)],
            marker=MARKERS[number % len(MARKERS)],
            linestyle="none",
            elinewidth=1,
            capsize=2,
            label=percent(share),
        )
    middle = (len(shares) - 1) / 2
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_yticks([row * (len(shares) + 1) + middle for row in range(len(rows))], list(rows))
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.spines["left"].set_visible(False)
    if len(shares) > 1:
        figure.legend(frameon=False, labelcolor=INK, loc="outside lower center", ncols=len(shares))
    return as_svg(figure, x_label)


def percent(share: float) -> str:
    """``0.1`` as ``10%``."""
    return f"{100 * share:g}%"
