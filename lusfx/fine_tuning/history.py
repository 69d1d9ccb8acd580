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
