"""How far a fine-tuning is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lusfx.networks.decoded_frames import DecodingProgress


@dataclass(frozen=True, slots=True)
class EpochProgress:
    """How far the training of a network is.

    :param epoch: from 1.
    :param step: of all epochs together.
    :param loss: of the last step.
    :param frames: trained on so far.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    frames: int


@dataclass(frozen=True, slots=True)
class FineTuningProgress:
    """How far a run is.

    :param name: which network is trained: ``repeat 1 of 1, fold 2 of 5``.
    :param number: of the network, from 1; ``n_networks`` are there in all.
    :param training: of this network.
    :param frames_per_s: trained on a second, since the first step of the run.
    :param seconds_left: of the whole run.
    """

    name: str
    number: int
    n_networks: int
    training: EpochProgress
    frames_per_s: float
    seconds_left: float


FineTuningListener = Callable[[DecodingProgress | FineTuningProgress], None]
"""Called with the progress of a run, first of its decoding and then of its training."""
