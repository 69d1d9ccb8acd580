"""Finding the beam: the part of a frame that the transducer insonated. Everything else is overlay.

The beam is where the image is bright at some time or changes over time. Its largest connected piece is explained by a shape:
two straight sides, and arcs about the point where they meet (convex and phased arrays), or a rectangle (linear arrays). The
shape is the mask, so that shadows and effusions inside the beam stay in it. Beams are symmetric: where a shadow hides one
side, the other tells where it is. How well shape and piece agree is the
confidence. The geometry of a convex array's image, an annulus sector, is described by Weld et al. 2025 (arXiv 2502.09482).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lusfx.preprocess.resize import resized
from lusfx.spacing import evenly_spaced
from lusfx.types import Box, GreyImage

Mask = NDArray[np.bool_]
Line = tuple[float, float]
"""Intercept and slope of a side: its distance from the frame's border, by row."""

WORKING_SIDE_PX = 192
"""Frames are shrunk to this for the search: the shape is large, and finding it must cost little."""
FRAMES_USED = 12
"""Frames looked at, spread over those given: more change the projection little."""
BRIGHT = 9.0
"""Grey level above which a pixel is image: compression leaves up to 6 in the black around it."""
CHANGING = 2.0
"""Standard deviation over time above which a pixel is image, however dark."""
MIN_AREA = 0.04
"""Smallest share of the frame that can be a beam."""
MIN_DETACHED_AREA = 0.004
"""Smallest share of the frame that a piece beside the largest must have to count."""
KEPT_AGREEMENT = 0.8
"""Pieces beside the largest count if a shape explains all together nearly as well as the largest: a second image
beside the beam would not fit."""
OPENING_PX = 2
"""Half width of strokes that are cut off: letters, ticks and markers that touch the beam."""
DISC = tuple(
    (y, x)
    for y, x in product(range(2 * OPENING_PX + 1), repeat=2)
    if (y - OPENING_PX) ** 2 + (x - OPENING_PX) ** 2 <= OPENING_PX**2
)
"""Pixels of a disc of that radius, by their row and column in the square around it."""
MAX_SIDE_SLOPE = 2.2
"""Steepest widening of a side, columns a row: sectors open to at most about 130 degrees."""
STRAIGHT_SLOPE = 0.04
"""A side that leans less is vertical."""
ALIKE = 0.7
"""A side that leans less than this share of its opposite is not the beam's own."""
SIDE_TOLERANCE_PX = 1.5
PHASED_TOP = 0.2
"""A beam whose top is narrower than this share of its bottom comes from a phased array."""


class BeamShape(StrEnum):
    """What explains the insonated region."""

    SECTOR = "sector"
    PHASED = "phased"
    LINEAR = "linear"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Beam:
    """The insonated region of a clip's frames.

    :param mask: ``(height, width)``, True inside.
    :param box: the smallest rectangle that holds the mask.
    :param shape: what the mask was fitted as.
    :param confidence: agreement of shape and image (intersection over union), 0 to 1; 0 where nothing was found.
    """

    mask: Mask
    box: Box
    shape: BeamShape
    confidence: float


def whole_frame(height: int, width: int, region: Box | None) -> Beam:
    """The declared region, or the whole frame, as a beam: what is used where none is looked for or found."""
    box = _search_box(height, width, region)
    mask = np.zeros((height, width), np.bool_)
    mask[box.y0 : box.y1, box.x0 : box.x1] = True
    return Beam(mask, box, BeamShape.UNKNOWN, 0.0)


def _search_box(height: int, width: int, region: Box | None) -> Box:
    """The part of a declared region that lies in the frame; the whole frame where there is none."""
    if region is None:
        return Box(0, 0, width, height)
    box = Box(max(region.x0, 0), max(region.y0, 0), min(region.x1, width), min(region.y1, height))
    return box if box.width > 0 and box.height > 0 else Box(0, 0, width, height)


def find_beam(frames: Sequence[GreyImage], region: Box | None, min_confidence: float) -> Beam:
    """Find one beam for all frames of a clip.

    :param frames: at least one, all ``(height, width)``; a few are taken, each once.
    :param region: where to look; the whole frame if None.
    :param min_confidence: below it the bounding box of what was found is the mask, with ``shape`` unknown.
    """
    height, width = frames[0].shape
    box = _search_box(height, width, region)
    pieces = _pieces(_shrunk(frames, box))
    if not pieces:
        return whole_frame(height, width, region)
    fit = _fit(pieces[0])
    for wider in map(_fit, pieces[1:]):
        if wider.agreement >= KEPT_AGREEMENT * fit.agreement:
            fit = wider
    fitted, shape = fit.fitted, fit.shape
    if fit.agreement < min_confidence or not fitted.any():
        ys, xs = np.nonzero(fit.piece)
        fitted = np.zeros_like(fit.piece)
        fitted[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
        shape = BeamShape.UNKNOWN
    mask = np.zeros((height, width), np.bool_)
    mask[box.y0 : box.y1, box.x0 : box.x1] = _enlarged(fitted, box)
    ys, xs = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return Beam(mask, Box(int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1), shape, fit.agreement)


class _Fit(NamedTuple):
    """A piece, the shape that explains it, and how well the two agree."""

    piece: Mask
    fitted: Mask
    shape: BeamShape
    agreement: float


def _fit(piece: Mask) -> _Fit:
    fitted, shape = _fitted_shape(piece)
    return _Fit(piece, fitted, shape, _agreement(fitted, piece))


def _agreement(fitted: Mask, piece: Mask) -> float:
    """Intersection over union of a shape and a piece whose rows and columns are filled: a shadow is no disagreement."""
    filled = _filled(_filled(piece, 1), 0)
    return float((fitted & filled).sum() / (fitted | filled).sum())


def _filled(mask: Mask, axis: int) -> Mask:
    """Every line along an axis filled from its first pixel to its last."""
    before = np.logical_or.accumulate(mask, axis=axis)
    after = np.flip(np.logical_or.accumulate(np.flip(mask, axis), axis=axis), axis)
    filled: Mask = before & after
    return filled


def _shrunk(frames: Sequence[GreyImage], box: Box) -> list[GreyImage]:
    """A few frames, cut to the box and averaged down, each ``(height, width)``."""
    from PIL import Image

    scale = min(1.0, WORKING_SIDE_PX / max(box.height, box.width))
    size = (max(round(box.width * scale), 1), max(round(box.height * scale), 1))
    chosen = evenly_spaced(len(frames), FRAMES_USED)
    return list(resized((frames[i] for i in chosen), size, Image.Resampling.BOX, box))


def _enlarged(mask: Mask, box: Box) -> Mask:
    from PIL import Image

    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    enlarged: Mask = np.asarray(grey.resize((box.width, box.height), Image.Resampling.BILINEAR)) >= 128
    return enlarged


def _pieces(frames: Sequence[GreyImage]) -> list[Mask]:
    """What may be the beam: the largest connected piece, and that piece with those that shadows cut from it.

    A pixel belongs to a piece if it is bright at some time or changes over time; holes are filled and thin strokes cut
    off. Beside the largest only pieces that change over time count: logos and grey bars do not.

    :returns: none where nothing is large enough for a beam, else one or two masks.
    """
    from scipy import ndimage

    deviation = _deviation(frames)
    opened = _without_strokes((reduce(np.maximum, frames) > BRIGHT) | (deviation > CHANGING))
    labels, _ = ndimage.label(opened)
    sizes = np.bincount(labels.ravel(), minlength=2)
    sizes[0] = 0
    largest = int(sizes.argmax())
    if sizes[largest] < MIN_AREA * opened.size:
        return []
    change = np.bincount(labels.ravel(), weights=deviation.ravel(), minlength=2)
    detached = (change > CHANGING * sizes) & (sizes >= MIN_DETACHED_AREA * opened.size)
    detached[[0, largest]] = False
    piece = labels == largest
    found = [piece, piece | detached[labels]] if detached.any() else [piece]
    return [ndimage.binary_fill_holes(mask) for mask in found]


def _deviation(frames: Sequence[GreyImage]) -> NDArray[np.float32]:
    """Standard deviation over time, frame by frame: what numpy's gives to the last bit, without a copy of all frames."""
    n_frames = np.float32(len(frames))
    mean = np.zeros(frames[0].shape, np.float32)
    for frame in frames:
        mean += frame
    mean /= n_frames
    variance, difference = np.zeros_like(mean), np.empty_like(mean)
    for frame in frames:
        np.subtract(frame, mean, out=difference)
        difference *= difference
        variance += difference
    variance /= n_frames
    return np.sqrt(variance, out=variance)


def _without_strokes(insonated: Mask) -> Mask:
    """Closed and then opened by a disc."""
    # Beyond the border a beam goes on: without padding, opening would nibble at it there.
    margin = 2 * OPENING_PX
    padded = np.pad(insonated, margin, mode="edge")
    closed = _eroded(_dilated(padded))
    opened: Mask = _dilated(_eroded(closed))[margin:-margin, margin:-margin]
    return opened


def _dilated(mask: Mask) -> Mask:
    """Every pixel with a True one within the disc; what is beyond the border is False."""
    height, width = mask.shape
    padded = np.pad(mask, OPENING_PX)
    return reduce(np.logical_or, (padded[y : y + height, x : x + width] for y, x in DISC))


def _eroded(mask: Mask) -> Mask:
    """Every pixel with nothing but True ones within the disc; what is beyond the border is False."""
    height, width = mask.shape
    padded = np.pad(mask, OPENING_PX)
    return reduce(np.logical_and, (padded[y : y + height, x : x + width] for y, x in DISC))


def _fitted_shape(piece: Mask) -> tuple[Mask, BeamShape]:
    """The sector or rectangle that explains a piece best."""
    height, width = piece.shape
    rows = np.nonzero(piece.any(axis=1))[0]
    to_left = piece.argmax(axis=1)[rows].astype(np.float64)
    to_right = piece[:, ::-1].argmax(axis=1)[rows].astype(np.float64)
    left, right = _side(rows, to_left), _side(rows, to_right)
    # A beam is symmetric: a side much steeper than its opposite is the edge of a shadow, or of a crop.
    if left[1] < -STRAIGHT_SLOPE and right[1] > ALIKE * left[1]:
        right = _mirrored(left, right, rows, to_right)
    elif right[1] < -STRAIGHT_SLOPE and left[1] > ALIKE * right[1]:
        left = _mirrored(right, left, rows, to_left)
    y, x = np.arange(height, dtype=np.float64)[:, None], np.arange(width, dtype=np.float64)[None, :]
    between: Mask = (x >= left[0] + left[1] * y - 0.5) & (width - 1 - x >= right[0] + right[1] * y - 0.5)
    inside = between & (y >= rows[0]) & (y <= rows[-1])
    opening = -(left[1] + right[1])
    if opening < 2 * STRAIGHT_SLOPE:
        return inside, BeamShape.LINEAR
    if (
        max(left[1], right[1]) >= -STRAIGHT_SLOPE
    ):  # one side is beyond the frame, and with it the apex: arcs would be guesses
        return inside, BeamShape.SECTOR
    # The sides meet where their distance, width - 1 - left - right, is zero.
    apex_y = (left[0] + right[0] - (width - 1)) / opening
    apex_x = left[0] + left[1] * apex_y
    radius = np.hypot(y - apex_y, x - apex_x)
    inner, outer = _radii(piece, radius)
    inside = between & (radius >= inner) & (radius <= outer) & (y >= min(rows[0], apex_y + inner))
    # Seen from the apex, how much of the final width the transducer's face has.
    phased = inner < PHASED_TOP * outer
    return inside, BeamShape.PHASED if phased else BeamShape.SECTOR


def _mirrored(side: Line, other: Line, rows: NDArray[np.intp], distance: NDArray[np.float64]) -> Line:
    """The mirror image of a side, moved to touch the piece; the other side's own line where the frame's border cuts it."""
    if (distance == 0).mean() > 0.5:
        return other
    return float((distance - side[1] * rows).min()), side[1]


def _side(rows: NDArray[np.intp], distance: NDArray[np.float64]) -> Line:
    """The straight line along one side: distance from the frame's border = intercept + slope * row.

    Of the lines through two points of the side, the one that most rows lie on and (nearly) none lie outside of. Rows
    where the beam reaches the frame's border lie on no line, but no line may cut them off.

    :returns: intercept and slope; the slope is at most 0, since a beam never narrows with depth.
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
    possible = (slope <= STRAIGHT_SLOPE) & (slope >= -MAX_SIDE_SLOPE)
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
    return float(intercept[best]), float(min(slope[best], 0.0))


def _radii(piece: Mask, radius: NDArray[np.float64]) -> tuple[float, float]:
    """Distances from the apex to the arcs: the transducer's face and the greatest depth."""
    columns = np.nonzero(piece.any(axis=0))[0]
    middle = columns[len(columns) // 4 : max(len(columns) - len(columns) // 4, len(columns) // 4 + 1)]
    top = piece[:, middle].argmax(axis=0)
    inner = float(np.percentile(radius[top, middle], 20))
    outer = float(np.percentile(radius[piece], 99.7))
    return inner - 0.5, outer + 0.5
