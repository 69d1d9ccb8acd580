"""The training loop: on one process or several, stopped at any step and resumed there.

Everything random is drawn from the seed and the place in the run (epoch, batch, part of the batch), never from a generator that
goes on from batch to batch. So a resumed run draws what an uninterrupted one would have drawn, and several processes draw
together what one draws alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lusfx.networks.augmentations import AUGMENTATIONS
from lusfx.networks.errors import DivergedError, NetworkError
from lusfx.networks.kept_memory import kept_memory
from lusfx.networks.mixed_precision import MixedPrecision
from lusfx.networks.network import PretrainingNetwork, grey
from lusfx.networks.optimisers import cosine_with_warmup, make_optimiser
from lusfx.networks.processes import Processes
from lusfx.networks.recomputed_blocks import RECOMPUTE_ABOVE_BYTES, buffers_left_alone, kept_bytes, recompute_blocks
from lusfx.networks.shared_batch_norm import share_batch_norms
from lusfx.pretraining.checkpoint import (
    Snapshot,
    newest_checkpoint,
    optimiser_state,
    restore_optimiser,
    write_checkpoint,
)
from lusfx.pretraining.history import Record
from lusfx.pretraining.losses import LOSSES
from lusfx.pretraining.monitors import effective_rank, embedding_std, is_collapsed
from lusfx.pretraining.pairs import ClipFrames, PairBatch, PairSampler
from lusfx.pretraining.progress import TrainingProgress
from lusfx.pretraining.settings import Memory, PretrainingSettings

PARTS = 8
"""Parts of a batch that are augmented each with random numbers of its own: 1, 2, 4 or 8 processes share them evenly."""
WATCHED_FRAMES = 512
WATCH_STREAM = 1 << 20
"""Keeps the choice of the watched frames apart from what the seed decides elsewhere."""

Probe = Callable[[PretrainingNetwork], Mapping[str, Mapping[str, float]]]


@dataclass(slots=True)
class TrainingState:
    """Where a run is: what a checkpoint holds beside the tensors."""

    epoch: int = 0
    position: int = 0
    step: int = 0
    loss_sum: float = 0.0
    images: int = 0
    seconds: float = 0.0
    history: list[Record] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Trainer:
    """Trains a network on the frames of a store.

    :param network: on the CPU; it is moved to the processes' device and trained in place.
    :param frames: ``(n, size, size)`` uint8.
    :param clips: which of them are whose.
    :param directory: of the checkpoints; the newest sound one is gone on from.
    :param probe: told the network after each epoch, in the first process only; gives figures by reading and outcome.
    :param checkpoint_s: seconds between checkpoints within an epoch.
    :param memory: ``less`` computes activations again where a CPU would keep much; results are the same.
    :raises NetworkError: if no checkpoint of the run is sound.
    """

    def __init__(
        self,
        network: PretrainingNetwork,
        settings: PretrainingSettings,
        frames: NDArray[np.uint8],
        clips: Sequence[ClipFrames],
        processes: Processes,
        directory: Path,
        *,
        probe: Probe | None = None,
        checkpoint_s: float = 300.0,
        memory: Memory = "less",
    ) -> None:

        assert settings.lr is not None
        assert settings.weight_decay is not None
        self.network = network
        self.settings = settings
        self.frames = frames
        self.processes = processes
        self.state = TrainingState()
        self.n_damaged_checkpoints = 0
        self._directory = directory
        self._probe = probe
        self._checkpoint_s = checkpoint_s
        self._sampler = _sampler(clips, settings, processes)
        self._loss = LOSSES[settings.method]()
        self._augment = AUGMENTATIONS[settings.augmentation]()
        self._watched = _watched(clips, settings.seed)
        self._precision = MixedPrecision(processes.device)
        views = 2 * self.batch_size // processes.world
        sparing = memory == "less" and processes.device.type == "cpu"
        self._recomputes = sparing and kept_bytes(network.module, settings.size, views) > RECOMPUTE_ABOVE_BYTES
        if self._recomputes:
            recompute_blocks(network.backbone)
        if processes.world > 1:
            share_batch_norms(network.module)
        # Channels last makes convolutions half as fast again, on CPUs too.
        network.module.to(processes.device, memory_format=torch.channels_last)
        self._optimiser = make_optimiser(
            settings.optimiser, network.module.parameters(), settings.lr, settings.weight_decay
        )
        self._restore()
        self._parallel = _parallel(network.module, processes)
        self._saved = (self.state.epoch, self.state.step)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.state.epoch >= self.settings.epochs

    @property
    def steps_per_epoch(self) -> int:
        return -(-self._sampler.n_batches // self.settings.accumulate)

    @property
    def batch_size(self) -> int:
        """Pairs that are compared with each other: fewer than was asked for where the clips give no more."""
        return int(self._sampler.batch_size)

    def run(self, should_stop: Callable[[], bool], progress: Callable[[TrainingProgress], None] | None = None) -> bool:
        """Train until all epochs are done or the run is stopped; its state is on disk in either case.

        :param should_stop: asked after each step; one process that says so stops all.
        :param progress: called after each step.
        :returns: whether all epochs are done.
        :raises DivergedError: if the loss is no finite number any more; the last checkpoint is from before.
        """
        state, started, seconds_before = self.state, time.monotonic(), self.state.seconds
        first_step, images_before = state.step, state.images
        saved_at = started
        devices = [self.processes.device] if self.processes.device.type == "cuda" else []
        # Gaps between large arrays would cost what computing again has saved.
        freed = nullcontext() if self._recomputes else kept_memory()
        with torch.random.fork_rng(devices=devices), freed:
            if not state.history:
                state.history.append(self._measure(None, None))
            while not self.finished:
                while state.position < self._sampler.n_batches:
                    loss = self._step()
                    now = time.monotonic()
                    state.seconds = seconds_before + now - started
                    if progress is not None:
                        progress(self._progress(loss, now - started, first_step, images_before))
                    if self.processes.any(should_stop()):
                        self._save()
                        return False
                    if now - saved_at >= self._checkpoint_s:
                        self._save()
                        saved_at = now
                self._end_epoch()
                saved_at = time.monotonic()
        return True

    def _step(self) -> float:
        """One optimiser step on the next batches, as many as are accumulated; their mean loss."""
        state, sampler = self.state, self._sampler
        n = min(self.settings.accumulate, sampler.n_batches - state.position)
        self._set_rate()
        self._parallel.train()
        self._optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for number in range(n):
            batch = sampler.batch(type(sampler.state)(state.epoch, state.position + number))
            with self._gradients_kept_here(number + 1 < n):
                loss = self._batch_loss(batch, state.position + number) / n
                with buffers_left_alone(self.network.module) if self._recomputes else nullcontext():
                    torch.autograd.backward(self._precision.scaler.scale(loss))
            total += float(loss.detach())
        if not math.isfinite(total):
            raise DivergedError(
                f"the loss is {total} at step {state.step + 1}: training has diverged. Lower --lr, or lengthen "
                "--warmup-epochs, in another --out"
            )
        self._precision.scaler.step(self._optimiser)
        self._precision.scaler.update()
        state.position += n
        state.step += 1
        state.loss_sum += total * n
        state.images += 2 * n * self.batch_size
        return total

    def _batch_loss(self, batch: PairBatch, position: int) -> torch.Tensor:
        views = [self._view(frames, position, number) for number, frames in enumerate((batch.frame_a, batch.frame_b))]
        self._seed_network(self._drawn(position, 2, self.processes.rank))
        with self._precision.autocast():
            z_a, z_b = self._parallel(torch.cat(views)).chunk(2)
        weights = torch.from_numpy(batch.weights).to(self.processes.device)
        loss: torch.Tensor = self._loss(z_a, z_b, weights)
        return loss

    def _seed_network(self, seed: int) -> None:
        """For what is random in the network itself: dropout, say."""
        torch.default_generator.manual_seed(seed)
        if self.processes.device.type == "cuda":
            torch.cuda.default_generators[self.processes.device.index].manual_seed(seed)

    def _view(self, chosen: NDArray[np.int64], position: int, number: int) -> torch.Tensor:
        """One view of each of this process's pairs, ``(n, 1, size, size)``."""
        device, world = self.processes.device, self.processes.world
        n_parts = next(n for n in (math.lcm(PARTS, world), world) if self.batch_size % n == 0 or n == world)
        here = n_parts // world
        parts = []
        for part, rows in enumerate(np.split(chosen, here)):
            generator = torch.Generator(device)
            generator.manual_seed(self._drawn(position, number, self.processes.rank * here + part))
            parts.append(self._augment[number](grey(self.frames[rows], device), generator))
        return torch.cat(parts)

    def _drawn(self, position: int, stream: int, part: int) -> int:
        """A seed that this place in the run alone has."""
        sequence = np.random.SeedSequence([self.settings.seed, self.state.epoch, position, stream, part])
        return int(sequence.generate_state(1, np.uint64)[0] >> 1)

    @contextmanager
    def _gradients_kept_here(self, kept: bool) -> Iterator[None]:
        """Whether gradients wait for later batches before they are exchanged."""
        with self._parallel.no_sync() if kept and self.processes.world > 1 else nullcontext():
            yield

    def _set_rate(self) -> None:
        settings = self.settings
        assert settings.warmup_epochs is not None
        assert settings.lr is not None
        warmup, total = settings.warmup_epochs * self.steps_per_epoch, settings.epochs * self.steps_per_epoch
        for group in self._optimiser.param_groups:
            group["lr"] = settings.lr * cosine_with_warmup(self.state.step, warmup, total)

    def _progress(self, loss: float, elapsed_s: float, first_step: int, images_before: int) -> TrainingProgress:
        state, steps = self.state, self.settings.epochs * self.steps_per_epoch
        rate = (state.images - images_before) / max(elapsed_s, 1e-9)
        left = (steps - state.step) * elapsed_s / max(state.step - first_step, 1)
        return TrainingProgress(state.epoch + 1, self.settings.epochs, state.step, steps, loss, rate, left)

    def _end_epoch(self) -> None:
        state = self.state
        rate = float(self._optimiser.param_groups[0]["lr"])
        state.history.append(self._measure(state.loss_sum / self._sampler.n_batches, rate))
        state.epoch, state.position, state.loss_sum = state.epoch + 1, 0, 0.0
        self._save()

    def _measure(self, loss: float | None, rate: float | None) -> Record:
        """Ask the monitors about the network as it is now; in all processes but the first nothing but the loss."""
        record: Record = {"epoch": len(self.state.history), "loss": loss, "lr": rate}
        if not self.processes.is_first:
            return record
        embeddings = self.network.embed(self.frames[self._watched])
        std = rank = float("nan")
        if np.isfinite(embeddings).all():
            std, rank = (float(f(torch.from_numpy(embeddings))) for f in (embedding_std, effective_rank))
        record["std"], record["rank"] = _finite(std), _finite(rank)
        record["collapsed"] = bool(is_collapsed(std, rank, self.network.dim))
        record["probe"] = {}
        if self._probe is not None:
            record["probe"] = {
                reading: {outcome: _finite(area) for outcome, area in areas.items()}
                for reading, areas in self._probe(self.network).items()
            }
        return record

    def _save(self) -> None:
        place = (self.state.epoch, self.state.step)
        if not self.processes.is_first or self._saved == place:
            return
        tensors, optimiser = optimiser_state(self._optimiser)
        for name, tensor in self.network.module.state_dict().items():
            tensors[f"network.{name}"] = tensor.detach().cpu().clone()
        facts = {
            "settings": self.settings.model_dump(mode="json"),
            "state": self.state.as_dict(),
            "optimiser": optimiser,
            "scaler": self._precision.scaler.state_dict(),
        }
        write_checkpoint(self._directory, self.state.step, Snapshot(tensors, facts))
        self._saved = place

    def _restore(self) -> None:
        found = newest_checkpoint(self._directory)
        self.n_damaged_checkpoints = found.n_damaged
        if found.snapshot is None:
            return
        tensors, facts = found.snapshot.tensors, found.snapshot.facts
        self.settings.check_same(facts["settings"])
        weights = {
            name.removeprefix("network."): tensor for name, tensor in tensors.items() if name.startswith("network.")
        }
        try:
            self.network.module.load_state_dict(weights)
            restore_optimiser(self._optimiser, tensors, facts["optimiser"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise NetworkError(
                f"the run's checkpoint does not fit its network ({type(error).__name__}): was it made with another version of "
                "timm, torch or lusfx? Begin again in another --out"
            ) from None
        if facts["scaler"]:
            self._precision.scaler.load_state_dict(facts["scaler"])
        self.state = TrainingState(**facts["state"])


def _sampler(clips: Sequence[ClipFrames], settings: PretrainingSettings, processes: Processes) -> PairSampler:
    return PairSampler(
        clips,
        settings.delta_s,
        settings.seed,
        batch_size=settings.batch_size,
        pairs_per_clip=settings.pairs_per_clip,
        rank=processes.rank,
        n_processes=processes.world,
    )


def _parallel(module: torch.nn.Module, processes: Processes) -> torch.nn.Module:
    """The module as it is trained: where there are several processes, with gradients that are averaged over them."""
    if processes.world == 1:
        return module
    on_device = [processes.device.index] if processes.device.type == "cuda" else None
    return torch.nn.parallel.DistributedDataParallel(module, device_ids=on_device)


def _watched(clips: Sequence[ClipFrames], seed: int) -> NDArray[np.int64]:
    """The frames that the collapse monitors look at, the same all along: of as many clips as there may be, in turn."""
    generator = np.random.default_rng([seed, WATCH_STREAM])
    a_clip = max(1, WATCHED_FRAMES // len(clips))
    chosen = [clip.first + generator.permutation(len(clip.times_s))[:a_clip] for clip in clips]
    rows = np.concatenate([chosen[number] for number in generator.permutation(len(clips))])
    return np.sort(rows[:WATCHED_FRAMES]).astype(np.int64)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
