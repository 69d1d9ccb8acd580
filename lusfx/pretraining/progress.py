"""How far a pretraining is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lusfx.networks.decoded_frames import DecodingProgress


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far training is.

    :param epoch: from 1; ``step`` counts optimiser steps of the whole run, ``steps`` is how many there will be.
    :param loss: of the last step.
    :param images_per_s: views of frames, two a pair, in this run of the program.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    images_per_s: float
    seconds_left: float


PretrainingListener = Callable[[DecodingProgress | TrainingProgress], None]
"""Called with the progress of a run, first of its decoding and then of its training."""
