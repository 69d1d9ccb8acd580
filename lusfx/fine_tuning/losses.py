"""The losses of fine-tuning: what a step makes smaller, and what is watched."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lusfx.calibration import fit_calibration

LEAST_CHANCE = 1e-6


def masked_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy over the known answers; 0, with a gradient of 0, where none is known."""
    known = (targets == 0) | (targets == 1)
    wanted = (targets == 1).to(logits.dtype)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    total: torch.Tensor = torch.where(known, losses, torch.zeros_like(losses)).sum() / known.sum().clamp(min=1)
    return total


def calibrated_loss(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """Mean cross-entropy over the known answers of logits that were calibrated to them, outcome by outcome.

    A few patients that are held out have the finding more or less often than those that are trained on. Of the plain loss that
    alone makes most; and it is what calibration puts right.

    :param logits: ``(n, n_outcomes)``; ``targets`` likewise, 0 or 1, anything else is not known. An outcome of which one answer
        alone is known is not calibrated.
    """
    losses: list[NDArray[np.float64]] = []
    for column, answers in zip(logits.T, targets.T, strict=True):
        known = (answers == 0) | (answers == 1)
        scores, wanted = np.exp(-np.logaddexp(0, -column[known])), answers[known]
        if len(np.unique(wanted)) == 2:
            calibration = fit_calibration("platt", scores, wanted)
            scores = scores if calibration is None else calibration(scores)
        chance = np.clip(np.where(wanted == 1, scores, 1 - scores), LEAST_CHANCE, 1)
        losses.append(-np.log(chance))
    return float(np.concatenate(losses).mean())
