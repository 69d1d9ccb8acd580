"""How probable it is that the beam that was found is right.

A logistic model of what the frames show inside and outside the shape. Its weights were fitted to simulated lungs on drawn
screens (:mod:`lusfx.synth.screens`) by ``tools/calibrate_beam.py``. That also prints how often each confidence was right on
screens that it was not fitted to, and how sure it is of real clips. A beam is right if it holds the tissue and nothing else.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lusfx.preprocess.beam.evidence import Evidence, Mask
from lusfx.preprocess.beam.neighbours import highest_around, lowest_around
from lusfx.types import GreyImage

MOVING_IS_ENOUGH = 0.5
"""More motion than in this share of the shape makes it no more probable."""
SWEPT_IS_ENOUGH = 0.05
STRUCTURE_IS_ENOUGH = 0.25
WHOLE_FRAME = 0.97
"""A shape with more than this share of the frame has no outline to tell it by."""
LAYERED, NOT_LAYERED = 1.15, 1.05
"""How much more greys differ in one direction than in the other in ultrasound: downwards, since depth is resolved finer than
width, by 1.29 times or more in real clips that fill the frame; or across, where B-lines fill it. In what a camera sees, and in
noise, they differ alike."""
STEEP, STEEP_PX = 64.0, 3
"""Grey levels between pixels of a square of so many: letters on their ground differ so, tissue seldom."""


class Signs(NamedTuple):
    """What speaks for a beam and against it, each from 0 to 1.

    :param insonated: share of the shape that is bright or changes.
    :param moving: share that moves, up to :data:`MOVING_IS_ENOUGH`.
    :param still: 1 for stills and frozen clips, which have no motion to tell by.
    :param swept: share that changes without moving, of :data:`SWEPT_IS_ENOUGH`: a strip that is swept. 0 in clips that move.
    :param even: share that is even, as pages, panels and test pictures are.
    :param formless: for a beam that is the whole frame, where no outline tells it from anything else, what its greys lack of
        what tissue has: spread over their mean, up to :data:`STRUCTURE_IS_ENOUGH`, and layers (:data:`LAYERED`). 0 for others.
    :param outside: of all that moves, the share outside. 0 for stills.
    :param steep: share where neighbours differ as letters do from their ground.
    """

    insonated: float
    moving: float
    still: float
    swept: float
    even: float
    formless: float
    outside: float
    steep: float


WEIGHTS = Signs(
    insonated=0.699, moving=2.112, still=0.078, swept=-2.883, even=-6.283, formless=-8.163, outside=-4.071, steep=-9.475
)
BIAS = 1.777


def confidence_of(evidence: Evidence, fitted: Mask) -> float:
    """Probability that a shape is right, 0 to 1.

    :param fitted: ``(height, width)`` at the working size.
    """
    return probability(read_signs(evidence, fitted), WEIGHTS, BIAS) if fitted.any() else 0.0


def probability(signs: Signs, weights: Signs, bias: float) -> float:
    """Logistic of the weighted signs."""
    logit = bias + sum(weight * sign for weight, sign in zip(weights, signs, strict=True))
    return 1 / (1 + math.exp(-logit))


def read_signs(evidence: Evidence, fitted: Mask) -> Signs:
    """What the frames of a scene show inside and outside a shape."""
    mean = evidence.mean[fitted]
    moves = evidence.moves
    changing = float((evidence.changing & ~evidence.moving)[fitted].mean())
    return Signs(
        insonated=float(evidence.insonated[fitted].mean()),
        moving=min(float(evidence.moving[fitted].mean()), MOVING_IS_ENOUGH),
        still=float(not moves),
        swept=0.0 if moves else min(changing / SWEPT_IS_ENOUGH, 1.0),
        even=float(evidence.even[fitted].mean()),
        formless=_formless(evidence.middle, mean) if fitted.mean() > WHOLE_FRAME else 0.0,
        outside=float((evidence.moving & ~fitted).sum() / max(evidence.moving.sum(), 1)) if moves else 0.0,
        steep=float(_steep(evidence.mean)[fitted].mean()),
    )


def _formless(frame: GreyImage, mean: NDArray[np.float32]) -> float:
    """What a picture lacks of the spread and of the layers of tissue, whichever is more.

    :param mean: over time, of the pixels of the shape.
    """
    spread = float(mean.std() / max(mean.mean(), 1.0)) / STRUCTURE_IS_ENOUGH
    grey = frame.astype(np.int16)
    less, more = sorted(int(np.abs(np.diff(grey, axis=axis)).sum()) for axis in (0, 1))
    layers = (more - NOT_LAYERED * less) / max((LAYERED - NOT_LAYERED) * less, 1.0)
    return 1 - min(max(min(spread, layers), 0.0), 1.0)


def _steep(mean: NDArray[np.float32]) -> Mask:
    steep: Mask = highest_around(mean, STEEP_PX) - lowest_around(mean, STEEP_PX) > STEEP
    return steep
