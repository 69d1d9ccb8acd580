"""The network: a backbone, the mean over a unit's frames, and one linear layer with an output an outcome."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.modules.batchnorm import _BatchNorm

from lusfx.fine_tuning.frame_units import FrameUnits
from lusfx.fine_tuning.history import EpochRecord
from lusfx.networks.network import PretrainingNetwork, grey


@dataclass(frozen=True, slots=True, eq=False)
class FineTunedNetwork:
    """A network that was trained.

    :param backbone: the encoder that it has become; on the device where it was trained.
    :param weight: ``(n_outcomes, dim)`` of the linear layer.
    :param bias: ``(n_outcomes,)``.
    :param history: an epoch each.
    """

    backbone: PretrainingNetwork
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    history: Sequence[EpochRecord]

    def embeddings(self, units: FrameUnits) -> NDArray[np.float32]:
        """Mean embedding of each unit ``(n, dim)``: over a clip's frames, then over an exam's clips, as cached features are."""
        return pooled(self.backbone, units)

    def logits(self, units: FrameUnits) -> NDArray[np.float64]:
        """Log odds of yes to each outcome, ``(n, n_outcomes)``."""
        values: NDArray[np.float64] = self.embeddings(units) @ self.weight.T + self.bias
        return values

    def scores(self, units: FrameUnits) -> NDArray[np.float64]:
        """Probability of yes to each outcome, ``(n, n_outcomes)``; not calibrated."""
        probabilities: NDArray[np.float64] = np.exp(-np.logaddexp(0, -self.logits(units)))
        return probabilities


def pooled(backbone: PretrainingNetwork, units: FrameUnits) -> NDArray[np.float32]:
    """Mean embeddings ``(n, dim)``, clip by clip, so that memory does not grow with the frames."""
    means = np.empty((len(units), backbone.dim), np.float32)
    for number, clips in enumerate(units.clips):
        means[number] = np.mean([backbone.embed(units.frames[rows]).mean(axis=0) for rows in clips], axis=0)
    return means


def renew_statistics(backbone: PretrainingNetwork, batches: Iterable[NDArray[np.uint8]]) -> None:
    """Take the batch normalisations' statistics anew, as the mean over batches of unaltered frames, each counting alike.

    Their running means lag behind the weights and hold augmented frames, which on a few small batches is far off (Wu and
    Johnson 2021, arXiv 2105.07576).

    :param batches: ``(n, size, size)`` each, n >= 2.
    """
    layers = [
        layer for layer in backbone.module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    if not layers:
        return
    device = next(backbone.module.parameters()).device
    momenta = [layer.momentum for layer in layers]
    backbone.module.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch then takes the mean over all batches
        layer.training = True
    with torch.no_grad():
        for frames in batches:
            backbone.module.features(grey(frames, device))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.training = False


def trainable_groups(
    backbone: torch.nn.Module, linear: torch.nn.Module, backbone_lr: float, lr: float, weight_decay: float
) -> list[dict[str, object]]:
    """Parameters for AdamW with the ``rate`` that each group has at its highest; none of one axis is decayed."""
    groups: list[dict[str, object]] = []
    for part, rate in ((backbone, backbone_lr), (linear, lr)):
        parameters = [parameter for parameter in part.parameters() if parameter.requires_grad]
        for decay, chosen in (
            (weight_decay, [parameter for parameter in parameters if parameter.ndim > 1]),
            (0.0, [parameter for parameter in parameters if parameter.ndim <= 1]),
        ):
            if chosen:
                groups.append({"params": chosen, "rate": rate, "lr": rate, "weight_decay": decay})
    return groups
