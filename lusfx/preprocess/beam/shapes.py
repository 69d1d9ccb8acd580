"""Shapes that explain a piece: a sector of a convex or phased array, a rectangle of a linear one, upright, leaning or turned.

Beams are symmetric: where a shadow hides one side, the other tells where it is. The geometry of a convex array's image, an
annulus sector, is described by Weld et al. 2025 (arXiv 2502.09482).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from lusfx.preprocess.beam.evidence import Mask
from lusfx.spacing import evenly_spaced

Line = tuple[float, float]
"""Intercept and slope of a side: its distance from the frame's border, by row."""

MAX_SIDE_SLOPE = 2.2
"""Steepest widening of a side, columns a row: sectors open to at most about 130 degrees."""
STRAIGHT_SLOPE = 0.04
"""A side that leans less is vertical."""
ALIKE = 0.7
"""A side that leans less than this share of its opposite is not the beam's own."""
SIDE_TOLERANCE_PX = 1.5
PHASED_TOP = 0.2
"""A beam whose top is narrower than this share of its bottom comes from a phased array."""
MAX_LEAN = 1.0
"""Steepest side that narrows with depth, in beams that lean: 45 degrees."""
TURNED_AGREEMENT, TURNED_GAIN = 0.95, 0.1
"""A shape that leans, or is seen from elsewhere than above, is believed where it explains a piece so well, and so much better
than an upright one: what a shadow leaves of an upright beam leans as well, but seldom explains so much."""


class BeamShape(StrEnum):
    """What explains the insonated region."""

    SECTOR = "sector"
    PHASED = "phased"
    LINEAR = "linear"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Fit:
    """A piece, the shape that explains it, and how well the two agree.

    :param agreement: intersection over union of the shape and the piece whose rows and columns are filled: a shadow is no
        disagreement.
    """

    piece: Mask
    fitted: Mask
    shape: BeamShape
    agreement: float


def fit_shape(piece: Mask) -> Fit:
    """The upright shape that explains a piece best."""
    return _fit(piece, leaning=False)


def turn_where_better(upright: Fit) -> Fit:
    """A leaning shape, or one seen from below or a side, in place of an upright one that explains its piece far worse."""
    if upright.agreement + TURNED_GAIN > 1:
        return upright
    wanted = max(TURNED_AGREEMENT, upright.agreement + TURNED_GAIN)
    leaning = _fit(upright.piece, leaning=True)
    if leaning.agreement >= wanted:
        return leaning
    turned = max((_fit_turned(upright.piece, turns) for turns in (1, 2, 3)), key=lambda fit: fit.agreement)
    return turned if turned.agreement >= wanted else upright


def _fit_turned(piece: Mask, quarter_turns: int) -> Fit:
    """The shape of an image that lies on its side or its head."""
    fit = _fit(np.rot90(piece, quarter_turns), leaning=False)
    return replace(fit, piece=piece, fitted=np.rot90(fit.fitted, -quarter_turns))


def _fit(piece: Mask, *, leaning: bool) -> Fit:
    filled = _filled(_filled(piece, 1), 0)
    fitted, shape = _fitted_shape(piece, leaning)
    union = (fitted | filled).sum()
    return Fit(piece, fitted, shape, float((fitted & filled).sum() / union) if union else 0.0)


def _filled(mask: Mask, axis: int) -> Mask:
    """Every line along an axis filled from its first pixel to its last."""
    before = np.logical_or.accumulate(mask, axis=axis)
    after = np.flip(np.logical_or.accumulate(np.flip(mask, axis), axis=axis), axis)
    filled: Mask = before & after
    return filled


def _fitted_shape(piece: Mask, leaning: bool) -> tuple[Mask, BeamShape]:
    """The sector or rectangle that explains a piece best.

    :param leaning: whether the sides are taken as they are seen; else as those of an upright, symmetric beam.
    """
    height, width = piece.shape
    rows = np.nonzero(piece.any(axis=1))[0]
    to_left = piece.argmax(axis=1)[rows].astype(np.float64)
    to_right = piece[:, ::-1].argmax(axis=1)[rows].astype(np.float64)
    most = MAX_LEAN if leaning else 0.0
    left, right = _side(rows, to_left, most), _side(rows, to_right, most)
    # An upright beam is symmetric: a side much steeper than its opposite is the edge of a shadow, or of a crop.
    if leaning:
        pass
    elif left[1] < -STRAIGHT_SLOPE and right[1] > ALIKE * left[1]:
        right = _mirrored(left, right, rows, to_right)
    elif right[1] < -STRAIGHT_SLOPE and left[1] > ALIKE * right[1]:
        left = _mirrored(right, left, rows, to_left)
    y, x = np.arange(height, dtype=np.float64)[:, None], np.arange(width, dtype=np.float64)[None, :]
    between: Mask = (x >= left[0] + left[1] * y - 0.5) & (width - 1 - x >= right[0] + right[1] * y - 0.5)
    inside = between & (y >= rows[0]) & (y <= rows[-1])
    opening = -(left[1] + right[1])
    if opening < 2 * STRAIGHT_SLOPE:
        return inside, BeamShape.LINEAR
    if not leaning and max(left[1], right[1]) >= -STRAIGHT_SLOPE:
        return inside, BeamShape.SECTOR  # one side is beyond the frame, and with it the apex: arcs would be guesses
    # The sides meet where their distance, width - 1 - left - right, is zero.
    apex_y = (left[0] + right[0] - (width - 1)) / opening
    apex_x = left[0] + left[1] * apex_y
    radius = np.hypot(y - apex_y, x - apex_x)
    # A side that stands upright may be the edge of what has lost contact, and then the rest is no sector of its own.
    both_lean = leaning and min(abs(left[1]), abs(right[1])) > STRAIGHT_SLOPE
    inner, outer = _radii(piece, radius, both_lean)
    inside = between & (radius >= inner) & (radius <= outer) & (y >= min(rows[0], apex_y + inner))
    # Seen from the apex, how much of the final width the transducer's face has.
    phased = inner < PHASED_TOP * outer
    return inside, BeamShape.PHASED if phased else BeamShape.SECTOR


def _mirrored(side: Line, other: Line, rows: NDArray[np.intp], distance: NDArray[np.float64]) -> Line:
    """The mirror image of a side, moved to touch the piece; the other side's own line where the frame's border cuts it."""
    if (distance == 0).mean() > 0.5:
        return other
    return float((distance - side[1] * rows).min()), side[1]


def _side(rows: NDArray[np.intp], distance: NDArray[np.float64], most: float) -> Line:
    """The straight line along one side: distance from the frame's border = intercept + slope * row.

    Of the lines through two points of the side, the one that most rows lie on and (nearly) none lie outside of. Rows
    where the beam reaches the frame's border lie on no line, but no line may cut them off.

    :param most: the largest slope: 0 of an upright beam, which never narrows with depth.
    :returns: intercept and slope.
    """
    free = distance > 0
    if free.sum() < max(8, 0.08 * len(rows)):
        return 0.0, 0.0
    y, d = rows[free].astype(np.float64), distance[free]
    sample = evenly_spaced(len(y), 48)
    a, b = np.triu_indices(len(sample), k=6)
    y0, y1, d0, d1 = y[sample[a]], y[sample[b]], d[sample[a]], d[sample[b]]
    slope = (d1 - d0) / (y1 - y0)
    intercept = d0 - slope * y0
    possible = (slope <= max(most, STRAIGHT_SLOPE)) & (slope >= -MAX_SIDE_SLOPE)
    upright = (float(distance.min()), 0.0)
    if not possible.any():
        return upright
    slope, intercept = slope[possible], intercept[possible]
    # In place, as below: a thousand lines by two hundred rows are most of what finding a beam costs.
    residual = rows[:, None] * slope[None, :]
    residual += intercept[None, :]
    np.subtract(distance[:, None], residual, out=residual)
    outside = (residual < -SIDE_TOLERANCE_PX).sum(axis=0, dtype=np.int16)
    near = np.abs(residual, out=residual) <= SIDE_TOLERANCE_PX
    agreement = near[free].sum(axis=0, dtype=np.int16) - 3 * outside
    best = int(np.argmax(agreement))
    if agreement[best] <= 0:  # no straight side: whatever the line, it would cut the beam
        return upright
    return float(intercept[best]), float(min(slope[best], most))


def _radii(piece: Mask, radius: NDArray[np.float64], both_lean: bool) -> tuple[float, float]:
    """Distances from the apex to the arcs: the transducer's face and the greatest depth."""
    if both_lean:  # the middle columns may begin at a side
        inner, outer = np.percentile(radius[piece], (0.3, 99.7))
        return float(inner) - 0.5, float(outer) + 0.5
    columns = np.nonzero(piece.any(axis=0))[0]
    middle = columns[len(columns) // 4 : max(len(columns) - len(columns) // 4, len(columns) // 4 + 1)]
    top = piece[:, middle].argmax(axis=0)
    inner = float(np.percentile(radius[top, middle], 20))
    outer = float(np.percentile(radius[piece], 99.7))
    return inner - 0.5, outer + 0.5
