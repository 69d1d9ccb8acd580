"""Train a network end to end on labelled units, and keep the epoch that does best on held-out ones.

Labels are those of whole units and frames are drawn from them at random, so each frame learns from a weak label; the loss is
on the mean of some frames' embeddings, which is what is served. Everything random is drawn from the seed and the place in the
run, so that on one CPU thread the same call gives the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lusfx.calibration import fit_calibration
from lusfx.errors import LusfxError, RunInterruptedError
from lusfx.fine_tuning.frame_units import FrameUnits
from lusfx.fine_tuning.history import EpochRecord
from lusfx.fine_tuning.network import FineTunedNetwork, pooled, renew_statistics, trainable_groups
from lusfx.fine_tuning.progress import EpochProgress
from lusfx.fine_tuning.settings import FineTuningSettings
from lusfx.networks.network import NetworkSpec, PretrainingNetwork, grey

if TYPE_CHECKING:
    import torch

WARM_UP_SHARE = 0.1
"""Of all steps: the new layer knows nothing at first, and would spoil the backbone."""
WATCHED_FRAMES = 8
"""Frames a held-out clip that the loss is watched on."""
STATISTICS_FRAMES = 512
STATISTICS_BATCH = 64
LEAST_CHANCE = 1e-6
MOST_LOG_ODDS = 4.0
"""Of the base rate that an outcome's output begins at."""
ORDER, FRAMES, VIEWS, DROPOUT, STATISTICS = range(5)
"""Streams of random numbers that are kept apart."""


class DivergedError(LusfxError):
    """The loss became infinite or no number."""


@dataclass(frozen=True, slots=True)
class LabelledFrames:
    """Units with what is known of them.

    :param targets: ``(n, n_outcomes)`` 0 or 1; anything else is not known, and teaches nothing.
    """

    units: FrameUnits
    targets: NDArray[np.int64]


def fit(
    network_spec: NetworkSpec,
    training: LabelledFrames,
    held_out: LabelledFrames | None,
    settings: FineTuningSettings,
    *,
    device: str | torch.device = "cpu",
    progress: Callable[[EpochProgress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FineTunedNetwork:
    """Fine-tune a network.

    :param network_spec: of the backbone; where its weights are random, the settings' seed draws them.
    :param training: each outcome should have both answers in it.
    :param held_out: of other patients; the weights of the epoch with the lowest :func:`calibrated_loss` on them are kept. None
        to keep the last epoch's.
    :param settings: complete (see :meth:`FineTuningSettings.complete`).
    :param progress: called after each step.
    :param should_stop: asked after each step.
    :returns: the network with the kept weights, on the device.
    :raises DivergedError: if the loss is no finite number any more.
    :raises RunInterruptedError: if ``should_stop`` says so.
    """
    import torch

    place = torch.device(device)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        return _Fit(network_spec, training, held_out, settings, place, progress, should_stop).run()


@dataclass(slots=True)
class _Fit:
    """A call of :func:`fit`."""

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
    scaler: Any = field(init=False)
    half: Any = field(init=False)
    augment: Any = field(init=False)
    step: int = 0
    frames: int = 0

    def run(self) -> FineTunedNetwork:
        self._prepare()
        history: list[EpochRecord] = []
        best: tuple[float, int, list[dict[str, torch.Tensor]]] | None = None
        for epoch in range(1, self.settings.epochs + 1):
            loss = float(np.mean([self._take_step(epoch, number, units) for number, units in self._batches(epoch)]))
            renew_statistics(self.backbone, self._statistics_batches(epoch))
            watched = self._watched_loss()
            history.append(EpochRecord(loss, watched))
            merit = 0.0 if watched is None else watched
            if best is None or merit < best[0] or watched is None:
                best = merit, epoch, [_copied(part) for part in (self.backbone.module, self.linear)]
        assert best is not None
        for part, weights in zip((self.backbone.module, self.linear), best[2], strict=True):
            part.load_state_dict(weights)
        self.backbone.module.eval()
        return FineTunedNetwork(self.backbone, *self._linear_weights(), history, best[1])

    def _prepare(self) -> None:
        import torch

        from lusfx.networks.augmentations import AUGMENTATIONS

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
        self.half = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda" and self.half is torch.float16)
        self.augment = None if settings.augmentation == "none" else AUGMENTATIONS[settings.augmentation]()[0]

    @property
    def n_batches(self) -> int:
        return math.ceil(len(self.training.units) / self.settings.batch_size)

    def _batches(self, epoch: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Numbered, of nearly equal size: a last batch of one clip would be all noise."""
        order = self._generator(epoch, 0, ORDER).permutation(len(self.training.units))
        yield from enumerate(np.array_split(order, self.n_batches))

    def _take_step(self, epoch: int, number: int, units: NDArray[np.intp]) -> float:
        import torch

        from lusfx.networks.optimisers import cosine_with_warmup

        steps = self.settings.epochs * self.n_batches
        factor = cosine_with_warmup(self.step, int(WARM_UP_SHARE * steps), steps)
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * factor
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._loss(epoch, number, units)
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.step(self.optimiser)
        self.scaler.update()
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
        import torch

        drawn = self._generator(epoch, number, FRAMES)
        rows = [self.training.units.draw(unit, self.settings.frames_per_step, drawn) for unit in units.tolist()]
        images = grey(self.training.units.frames[np.concatenate(rows)], self.device)
        if self.augment is not None:
            generator = torch.Generator(self.device)
            generator.manual_seed(self._seed(epoch, number, VIEWS))
            images = self.augment(images, generator)
        torch.manual_seed(
            self._seed(epoch, number, DROPOUT)
        )  # of dropout within the backbone; the caller's is put back
        self.backbone.module.train()
        with torch.autocast(self.device.type, self.half, enabled=self.device.type == "cuda"):
            embeddings = self.backbone.module.features(images)
        means = embeddings.float().unflatten(0, (len(units), -1)).mean(dim=1)
        return _masked_loss(self.linear(means), torch.from_numpy(self.training.targets[units]).to(self.device))

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


def _masked_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy over the known answers; 0, with a gradient of 0, where none is known."""
    import torch

    known = (targets == 0) | (targets == 1)
    wanted = (targets == 1).to(logits.dtype)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    total: torch.Tensor = torch.where(known, losses, torch.zeros_like(losses)).sum() / known.sum().clamp(min=1)
    return total


def calibrated_loss(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """Mean cross-entropy over the known answers of logits that were calibrated to them, outcome by outcome.

    A few patients that are held out have the finding more or less often than those that are trained on. Of the plain loss that
    alone makes most, and the first epoch the best; and it is what calibration puts right.

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


def _base_log_odds(targets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Log odds of yes among the known answers to each outcome, ``(n_outcomes,)``."""
    yes, no = (targets == 1).sum(axis=0) + 0.5, (targets == 0).sum(axis=0) + 0.5
    log_odds: NDArray[np.float32] = np.clip(np.log(yes / no), -MOST_LOG_ODDS, MOST_LOG_ODDS).astype(np.float32)
    return log_odds


def _copied(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
