"""The training loop of one network.

Everything random is drawn from the seed and the place in the run, so that on one CPU thread the same call gives the same
weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lusfx.errors import RunInterruptedError
from lusfx.fine_tuning.frame_units import LabelledFrames
from lusfx.fine_tuning.history import EpochRecord
from lusfx.fine_tuning.losses import calibrated_loss, masked_loss
from lusfx.fine_tuning.network import FineTunedNetwork, pooled, renew_statistics, trainable_groups
from lusfx.fine_tuning.progress import EpochProgress
from lusfx.fine_tuning.settings import FineTuningSettings
from lusfx.networks.augmentations import AUGMENTATIONS
from lusfx.networks.errors import DivergedError
from lusfx.networks.mixed_precision import MixedPrecision
from lusfx.networks.network import PretrainingNetwork, grey
from lusfx.networks.network_spec import NetworkSpec
from lusfx.networks.optimisers import cosine_with_warmup

WARM_UP_SHARE = 0.1
"""Of all steps: the new layer knows nothing at first, and would spoil the backbone."""
WATCHED_FRAMES = 8
"""Frames a held-out clip that the loss is watched on."""
STATISTICS_FRAMES = 512
STATISTICS_BATCH = 64
MOST_LOG_ODDS = 4.0
"""Of the base rate that an outcome's output begins at."""
ORDER, FRAMES, VIEWS, DROPOUT, STATISTICS = range(5)
"""Streams of random numbers that are kept apart."""


@dataclass(slots=True)
class Trainer:
    """Trains a network; see :func:`lusfx.fine_tuning.fit.fit` for the parameters."""

    network_spec: NetworkSpec
    training: LabelledFrames
    held_out: LabelledFrames | None
    settings: FineTuningSettings
    device: torch.device
    progress: Callable[[EpochProgress], None] | None
    should_stop: Callable[[], bool]
    backbone: PretrainingNetwork = field(init=False)
    linear: Any = field(init=False)
    optimiser: Any = field(init=False)
    precision: MixedPrecision = field(init=False)
    augment: Any = field(init=False)
    step: int = 0
    frames: int = 0

    def run(self) -> FineTunedNetwork:
        self._prepare()
        history: list[EpochRecord] = []
        for epoch in range(1, self.settings.epochs + 1):
            loss = float(np.mean([self._take_step(epoch, number, units) for number, units in self._batches(epoch)]))
            renew_statistics(self.backbone, self._statistics_batches(epoch))
            history.append(EpochRecord(loss, self._watched_loss()))
        self.backbone.module.eval()
        return FineTunedNetwork(self.backbone, *self._linear_weights(), history)

    def _prepare(self) -> None:
        settings, device = self.settings, self.device
        assert settings.backbone_lr is not None
        self.backbone = self.network_spec.backbone(settings.seed)
        self.backbone.module.to(device, memory_format=torch.channels_last)
        self.linear = torch.nn.Linear(self.backbone.dim, self.training.targets.shape[1]).to(device)
        with torch.no_grad():  # which answers the base rate, whatever it sees
            self.linear.weight.zero_()
            self.linear.bias.copy_(torch.from_numpy(_base_log_odds(self.training.targets)))
        self.optimiser = torch.optim.AdamW(
            trainable_groups(
                self.backbone.backbone, self.linear, settings.backbone_lr, settings.lr, settings.weight_decay
            )
        )
        self.precision = MixedPrecision(device)
        self.augment = None if settings.augmentation == "none" else AUGMENTATIONS[settings.augmentation]()[0]

    @property
    def n_batches(self) -> int:
        return math.ceil(len(self.training.units) / self.settings.batch_size)

    def _batches(self, epoch: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Numbered, of nearly equal size: a last batch of one clip would be all noise."""
        order = self._generator(epoch, 0, ORDER).permutation(len(self.training.units))
        yield from enumerate(np.array_split(order, self.n_batches))

    def _take_step(self, epoch: int, number: int, units: NDArray[np.intp]) -> float:
        steps = self.settings.epochs * self.n_batches
        factor = cosine_with_warmup(self.step, int(WARM_UP_SHARE * steps), steps)
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * factor
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._loss(epoch, number, units)
        torch.autograd.backward(self.precision.scaler.scale(loss))
        self.precision.scaler.step(self.optimiser)
        self.precision.scaler.update()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DivergedError(f"the loss is {value} at step {self.step + 1}: training has diverged. Lower --lr")
        self.step += 1
        self.frames += len(units) * self.settings.frames_per_step
        if self.progress is not None:
            self.progress(EpochProgress(epoch, self.settings.epochs, self.step, steps, value, self.frames))
        if self.should_stop():
            raise RunInterruptedError("stopped while a network was trained: no task model was written")
        return value

    def _loss(self, epoch: int, number: int, units: NDArray[np.intp]) -> torch.Tensor:
        """Cross-entropy of the known answers, from the mean embedding of some frames of each unit."""
        drawn = self._generator(epoch, number, FRAMES)
        rows = [self.training.units.draw(unit, self.settings.frames_per_step, drawn) for unit in units.tolist()]
        images = grey(self.training.units.frames[np.concatenate(rows)], self.device)
        if self.augment is not None:
            generator = torch.Generator(self.device)
            generator.manual_seed(self._seed(epoch, number, VIEWS))
            images = self.augment(images, generator)
        # Of dropout within the backbone; the caller's is put back.
        torch.manual_seed(self._seed(epoch, number, DROPOUT))
        self.backbone.module.train()
        with self.precision.autocast():
            embeddings = self.backbone.module.features(images)
        means = embeddings.float().unflatten(0, (len(units), -1)).mean(dim=1)
        return masked_loss(self.linear(means), torch.from_numpy(self.training.targets[units]).to(self.device))

    def _statistics_batches(self, epoch: int) -> Iterator[NDArray[np.uint8]]:
        """Frames of units in random order, so that each batch has those of many."""
        units, generator = self.training.units, self._generator(epoch, 0, STATISTICS)
        a_unit = max(1, math.ceil(STATISTICS_FRAMES / len(units)))
        rows = np.concatenate(
            [units.draw(unit, min(a_unit, sum(map(len, units.clips[unit]))), generator) for unit in range(len(units))]
        )
        rows = generator.permutation(rows)[:STATISTICS_FRAMES]
        for chosen in np.array_split(rows, math.ceil(len(rows) / STATISTICS_BATCH)):
            yield units.frames[chosen]

    def _watched_loss(self) -> float | None:
        if self.held_out is None:
            return None
        weight, bias = self._linear_weights()
        logits = pooled(self.backbone, self.held_out.units.thinned(WATCHED_FRAMES)) @ weight.T + bias
        if not np.isfinite(logits).all():
            raise DivergedError("the network answers no finite number: training has diverged. Lower --lr")
        return calibrated_loss(logits, self.held_out.targets)

    def _linear_weights(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        weight, bias = (value.detach().cpu().numpy().astype(np.float64) for value in self.linear.parameters())
        return weight, bias

    def _generator(self, epoch: int, position: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, epoch, position, stream])

    def _seed(self, epoch: int, position: int, stream: int) -> int:
        sequence = np.random.SeedSequence([self.settings.seed, epoch, position, stream])
        return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def _base_log_odds(targets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Log odds of yes among the known answers to each outcome, ``(n_outcomes,)``."""
    yes, no = (targets == 1).sum(axis=0) + 0.5, (targets == 0).sum(axis=0) + 0.5
    log_odds: NDArray[np.float32] = np.clip(np.log(yes / no), -MOST_LOG_ODDS, MOST_LOG_ODDS).astype(np.float32)
    return log_odds
