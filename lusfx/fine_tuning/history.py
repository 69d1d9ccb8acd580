"""How a fine-tuning went, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch.

    :param training_loss: mean over its steps, on augmented frames.
    :param validation_loss: on held-out clips after it, calibrated to them; None where none are held out.
    """

    training_loss: float
    validation_loss: float | None


@dataclass(frozen=True, slots=True)
class EpochProgress:
    """How far a fine-tuning is.

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
