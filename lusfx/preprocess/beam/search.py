"""Finding the beam: the part of a frame that the transducer insonated. Everything else is overlay.

Frames from the whole clip are looked at. In each scene a shape explains the piece that moves, or in a still the largest one
that is no even ground. Shapes are two straight sides, and arcs about the point where they meet (convex and phased arrays), or a
rectangle (linear arrays). The shape is the mask, so that shadows and effusions inside the beam stay in it. If the depth changes
within a clip, the mask is what is insonated at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from lusfx.preprocess.beam.evidence import BRIGHT, EVEN_LEVEL, Evidence, Mask, gather, join, shrink, split_scenes
from lusfx.preprocess.beam.neighbours import highest_around
from lusfx.preprocess.beam.pieces import MIN_AREA, MOSTLY, Piece, find_pieces, split
from lusfx.preprocess.beam.shapes import BeamShape, Fit, fit_shape, turn_where_better
from lusfx.preprocess.beam.trust import confidence_of
from lusfx.types import Box, GreyImage

KEPT_AGREEMENT = 0.8
"""Bits beside a piece count if a shape explains all together nearly as well as the piece alone."""
MOVING_LOSS = 0.08
"""By how much less a shape may explain a piece with all others that move."""
ALL_LOSS, ALL_GAIN = 0.01, 0.03
"""By how much less it may explain a piece with all others, and by how much more it must where that leaves more black in it."""
PLAIN_AGREEMENT = 0.93
"""A piece that is explained so well is one image, unless what is lowest in it stands still."""
STRIP_AREA = 0.1
"""A strip beneath the image has at least so much of what both have."""
STANDING = 0.05
"""Less than this share of the pixels of what stands moves."""
NEAR_PX = 7
GAIN = 0.05
"""What another reading of the same scene must explain better to be taken."""


BESIDE_PX, CUT_SHARE = 4, 0.2
"""A region cuts through what is lit if, along a side, so much is lit inside and so many pixels outside as well."""
LARGER = 1.25
"""The beam of the whole frame is at least so much larger than the part of it in a region that cuts it."""


@dataclass(frozen=True, slots=True)
class Beam:
    """The insonated region of a clip's frames.

    :param mask: ``(height, width)``, True inside.
    :param box: the smallest rectangle that holds the mask.
    :param shape: what the mask was fitted as.
    :param confidence: probability that the mask is right, 0 to 1; 0 where nothing was found.
    :param several: whether the frames hold more than one image, of which this is one.
    :param region_ignored: whether the region that was declared cuts through the beam, and was not kept to.
    """

    mask: Mask
    box: Box
    shape: BeamShape
    confidence: float
    several: bool = False
    region_ignored: bool = False


def whole_frame(height: int, width: int, region: Box | None, confidence: float = 0.0) -> Beam:
    """The declared region, or the whole frame, as a beam: what is used where none is looked for or found.

    :param confidence: 1 where none is looked for, since that is what was asked for.
    """
    box = _search_box(height, width, region)
    mask = np.zeros((height, width), np.bool_)
    mask[box.y0 : box.y1, box.x0 : box.x1] = True
    return Beam(mask, box, BeamShape.UNKNOWN, confidence)


def _search_box(height: int, width: int, region: Box | None) -> Box:
    """The part of a declared region that lies in the frame; the whole frame where there is none."""
    if region is None:
        return Box(0, 0, width, height)
    box = Box(max(region.x0, 0), max(region.y0, 0), min(region.x1, width), min(region.y1, height))
    return box if box.width > 0 and box.height > 0 else Box(0, 0, width, height)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a scene was read as."""

    evidence: Evidence
    fit: Fit
    several: bool

    @property
    def confidence(self) -> float:
        """Probability that the fit is right."""
        return confidence_of(self.evidence, self.fit.fitted)


def read_scenes(frames: Sequence[GreyImage]) -> list[Reading]:
    """The beam of shrunk frames: one reading of all scenes together, or one each if no shape explains them together as well.

    Scenes that stand still, as title pages do, count only if none moves.
    """
    scenes = [gather(scene) for scene in split_scenes(frames)]
    if any(scene.moves for scene in scenes):
        scenes = [scene for scene in scenes if scene.moves or scene.n_frames == 1]
    if not scenes:
        return []
    together = _read(join(scenes))
    apart = [reading for scene in scenes if (reading := _read(scene)) is not None] if len(scenes) > 1 else []
    if together is not None and all(together.fit.agreement >= reading.fit.agreement - GAIN for reading in apart):
        return [together]
    return apart


def _read(evidence: Evidence) -> Reading | None:
    """The beam of one scene; None where nothing is large enough."""
    found = _fits(evidence, evidence.insonated)
    if not found:
        return None
    best = found[0]
    several = len(found) > 1
    if several:
        best = max(found, key=lambda fit: (fit.shape is not BeamShape.LINEAR) * (fit.agreement > KEPT_AGREEMENT))
    doubtful = best.agreement < PLAIN_AGREEMENT or _stands_below(best, evidence)
    if evidence.moves and doubtful and (steady := _fits(evidence, evidence.insonated & _near(evidence.moving))):
        # What runs through, a trace or a swept strip, moves no pixel for long.
        better = steady[0].agreement >= best.agreement + GAIN and not _loses_the_top(best, steady[0], evidence.ground)
        if better or _hangs_below(best, steady[0], evidence):
            best = steady[0]
    for parts in split(best.piece):
        fits = [fit_shape(part) for part in parts if part.mean() >= MIN_AREA]
        fits.sort(key=lambda fit: -_weight(evidence, fit.piece))
        if fits and _explain_better(evidence, fits, best):
            best, several = fits[0], several or len(fits) > 1
    return Reading(evidence, _without_ground(turn_where_better(best), evidence.ground), several)


def _without_ground(fit: Fit, ground: Mask) -> Fit:
    """A fit whose shape stops at panels and pages: ground that lies mostly outside of it."""
    from scipy import ndimage

    if not ground.any():
        return fit
    labels, _ = ndimage.label(ground)
    outside = np.bincount(labels.ravel(), weights=~fit.fitted.ravel()) > MOSTLY * np.bincount(labels.ravel())
    outside[0] = False
    return replace(fit, fitted=fit.fitted & ~outside[labels])


def _explain_better(evidence: Evidence, parts: Sequence[Fit], whole: Fit) -> bool:
    """Whether shapes of the parts explain more than one of the whole, or as much with less black in them."""
    gain = min(part.agreement for part in parts) - whole.agreement
    denser = min(_density(evidence, part) for part in parts) - _density(evidence, whole)
    return gain >= GAIN or (gain >= 0 and denser >= GAIN)


def _loses_the_top(whole: Fit, steady: Fit, ground: Mask) -> bool:
    """Whether a fit leaves out what lies above it: a chest wall that stands still belongs to the beam, a banner does not."""
    top = np.nonzero(steady.fitted.any(axis=1))[0][:1]
    lost = whole.piece & ~steady.fitted & ~_near(ground)
    return not len(top) or bool(lost[: top[0]].sum() > STANDING * whole.piece.sum())


def _stands_below(fit: Fit, evidence: Evidence) -> bool:
    """Whether the lowest part of a shape is lit and does not move."""
    depth = np.cumsum(fit.fitted.sum(axis=1))
    lowest = fit.fitted & (depth > (1 - STRIP_AREA) * depth[-1])[:, None]
    return lowest.any() and _is_lit_and_stands(lowest, evidence)


def _is_lit_and_stands(part: Mask, evidence: Evidence) -> bool:
    """Whether most of a part is lit and next to nothing of it moves."""
    return bool((evidence.mean[part] > EVEN_LEVEL).mean() > MOSTLY and evidence.moving[part].mean() < STANDING)


def _hangs_below(whole: Fit, steady: Fit, evidence: Evidence) -> bool:
    """Whether all that a fit has more than another lies below it, is lit and does not move: a strip beneath the image."""
    if steady.agreement < whole.agreement - GAIN or not steady.fitted.any():
        return False
    bottom = np.nonzero(steady.fitted.any(axis=1))[0][-1]
    more = whole.fitted & ~steady.fitted
    below = more.copy()
    below[: bottom + 1] = False
    if below.sum() < STRIP_AREA * whole.fitted.sum() or below.sum() < MOSTLY * more.sum():
        return False
    return _is_lit_and_stands(below, evidence)


def _fits(evidence: Evidence, insonated: Mask) -> list[Fit]:
    """The images of a scene: each piece that is large enough, with what belongs to it."""
    found: list[Fit] = []
    for piece in find_pieces(evidence, insonated):
        if not any((fit.piece & piece.alone).any() for fit in found):
            found.append(_fit_piece(evidence, piece))
    return found


def _fit_piece(evidence: Evidence, piece: Piece) -> Fit:
    alone = best = fit_shape(piece.alone)
    # What moves beside a piece that is a whole image by itself is another one: a zoomed part in a corner.
    least = alone.agreement - MOVING_LOSS if alone.agreement >= PLAIN_AGREEMENT else KEPT_AGREEMENT * alone.agreement
    if piece.with_bits is not None and (wider := fit_shape(piece.with_bits)).agreement >= least:
        best = wider
    # A second image would move as well, but not fit.
    if (
        piece.with_moving is not None
        and (wider := fit_shape(piece.with_moving)).agreement >= best.agreement - MOVING_LOSS
    ):
        best = wider
    # Logos and grey bars stand beside the beam; what belongs to it fits better, or as well and leaves no more black.
    if piece.with_all is not None:
        wider = fit_shape(piece.with_all)
        denser = _density(evidence, wider) >= _density(evidence, best)
        if wider.agreement >= best.agreement + (-ALL_LOSS if denser else ALL_GAIN):
            best = wider
    return best


def _density(evidence: Evidence, fit: Fit) -> float:
    """Share of a shape that is insonated."""
    return float(evidence.insonated[fit.fitted].mean()) if fit.fitted.any() else 0.0


def _weight(evidence: Evidence, piece: Mask) -> int:
    return int((piece & evidence.moving).sum() if evidence.moves else piece.sum())


def _near(mask: Mask) -> Mask:
    """Pixels with others of a mask around them."""
    near: Mask = highest_around(mask, NEAR_PX)
    return near


def find_beam(frames: Sequence[GreyImage], region: Box | None, min_confidence: float) -> Beam:
    """Find one beam for all frames of a clip.

    :param frames: at least one, all ``(height, width)``; a few are taken, each once.
    :param region: where to look; the whole frame if None. A region that cuts through a beam is that of another picture, from
        before this one was made smaller, say: then the beam is looked for in the whole frame.
    :param min_confidence: below it the bounding box of what was found is the mask, with ``shape`` unknown.
    """
    found = _find_in(frames, region, min_confidence)
    height, width = frames[0].shape
    if region is None or not _is_cut(frames[len(frames) // 2], _search_box(height, width, region)):
        return found
    whole = _find_in(frames, None, min_confidence)
    larger = whole.mask.sum() > LARGER * found.mask.sum() and (whole.mask & found.mask).any()
    return replace(whole, region_ignored=True) if larger and whole.shape is not BeamShape.UNKNOWN else found


def _is_cut(frame: GreyImage, box: Box) -> bool:
    """Whether a side of a box runs through what is lit."""
    bright = frame > BRIGHT
    x0, y0, x1, y1 = box.x0, box.y0, box.x1, box.y1
    height, width = frame.shape
    beside = BESIDE_PX
    pairs = (
        (bright[y0:y1, x0], bright[y0:y1, x0 - beside] if x0 >= beside else None),
        (bright[y0:y1, x1 - 1], bright[y0:y1, x1 + beside - 1] if x1 + beside <= width else None),
        (bright[y0, x0:x1], bright[y0 - beside, x0:x1] if y0 >= beside else None),
        (bright[y1 - 1, x0:x1], bright[y1 + beside - 1, x0:x1] if y1 + beside <= height else None),
    )
    return any(outside is not None and (inside & outside).mean() > CUT_SHARE for inside, outside in pairs)


def _find_in(frames: Sequence[GreyImage], region: Box | None, min_confidence: float) -> Beam:
    """Find the beam in a region, or in the whole frame."""
    height, width = frames[0].shape
    box = _search_box(height, width, region)
    readings = read_scenes(shrink(frames, box))
    if not readings:
        return whole_frame(height, width, region)
    fitted = reduce(np.logical_or, (reading.fit.fitted for reading in readings))
    shape = max(readings, key=lambda reading: reading.evidence.n_frames).fit.shape
    confidence = min(reading.confidence for reading in readings)
    if confidence < min_confidence:
        fitted = _bounding_box(reduce(np.logical_or, (reading.fit.piece for reading in readings)))
        shape = BeamShape.UNKNOWN
    mask = np.zeros((height, width), np.bool_)
    mask[box.y0 : box.y1, box.x0 : box.x1] = _enlarged(fitted, box)
    ys, xs = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    beam_box = Box(int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)
    return Beam(mask, beam_box, shape, confidence, any(reading.several for reading in readings))


def _bounding_box(mask: Mask) -> Mask:
    """The smallest upright rectangle that holds a mask."""
    ys, xs = np.nonzero(mask)
    boxed = np.zeros_like(mask)
    boxed[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
    return boxed


def _enlarged(mask: Mask, box: Box) -> Mask:
    from PIL import Image

    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    enlarged: Mask = np.asarray(grey.resize((box.width, box.height), Image.Resampling.BILINEAR)) >= 128
    return enlarged
