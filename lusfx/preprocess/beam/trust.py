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

MOVING_IS_ENOUGH = 0.5
"""More motion than in this share of the shape makes it no more probable."""
STRUCTURE_IS_ENOUGH = 0.25
STEEP, STEEP_PX = 64.0, 3
"""Grey levels between pixels of a square of so many: letters on their ground differ so, tissue seldom."""


class Signs(NamedTuple):
    """What speaks for a beam and against it, each from 0 to 1.

    :param insonated: share of the shape that is bright or changes.
    :param moving: share that moves, up to :data:`MOVING_IS_ENOUGH`.
    :param still: 1 for stills and frozen clips, which have no motion to tell by.
    :param swept: of what does not move, the share that changes: a strip that is swept. 0 in clips that move.
    :param even: share that is even, as pages, panels and test pictures are.
    :param structure: spread of the greys over their mean, up to :data:`STRUCTURE_IS_ENOUGH`: noise has none.
    :param outside: of all that moves (in a still, of all that is insonated), the share outside.
    :param steep: share where neighbours differ as letters do from their ground.
    """

    insonated: float
    moving: float
    still: float
    swept: float
    even: float
    structure: float
    outside: float
    steep: float


WEIGHTS = Signs(0, 0, 0, 0, 0, 0, 0, 0)
BIAS = 0.0


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
    shown = evidence.moving if moves else evidence.insonated
    swept = 0.0 if moves else float((evidence.changing & ~evidence.moving)[fitted].mean())
    return Signs(
        insonated=float(evidence.insonated[fitted].mean()),
        moving=min(float(evidence.moving[fitted].mean()), MOVING_IS_ENOUGH),
        still=float(not moves),
        swept=swept,
        even=float(evidence.even[fitted].mean()),
        structure=min(float(mean.std() / max(mean.mean(), 1.0)), STRUCTURE_IS_ENOUGH),
        outside=float((shown & ~fitted).sum() / max(shown.sum(), 1)),
        steep=float(_steep(evidence.mean)[fitted].mean()),
    )


def _steep(mean: NDArray[np.float32]) -> Mask:
    from scipy import ndimage

    highest = ndimage.maximum_filter(mean, STEEP_PX, mode="nearest")
    steep: Mask = highest - ndimage.minimum_filter(mean, STEEP_PX, mode="nearest") > STEEP
    return steep
