"""What one encoder for all questions saves, against one for each, measured on this machine.

VanBerlo et al. 2023 (doi 10.1109/ACCESS.2023.3337398) compared compact classifiers on one pretrained encoder with separate
fine-tuned networks that run one after the other, and report that inference took 49% less time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import Encoder
from lusfx.engine.samples.pooling import pooled_stills
from lusfx.task_model import TaskModel, UnitFeatures

BATCH_SIZE = 8
ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Saving:
    """Times of the same answers to the same frames, got in two ways.

    :param n_tasks: task models, and networks in the one way; ``n_heads`` of all tasks together.
    :param shared_s: a frame, in the median round: one encoder, then all heads.
    :param separate_s: likewise: for each task an encoder of its own, then its heads.
    :param ratios: shared to separate, a round; the two ways take turns at going first.
    """

    n_tasks: int
    n_heads: int
    n_frames: int
    shared_s: float
    separate_s: float
    ratios: tuple[float, ...]
    runtime: str

    @property
    def ratio(self) -> float:
        """Shared to separate, of the median round."""
        return statistics.median(self.ratios)

    @property
    def most(self) -> float:
        """The largest saving that so many tasks allow, with heads that cost nothing: (T-1)/T."""
        return (self.n_tasks - 1) / self.n_tasks

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "tasks": self.n_tasks,
            "heads": self.n_heads,
            "frames": self.n_frames,
            "rounds": len(self.ratios),
            "runtime": self.runtime,
            "shared_ms_a_frame": 1000 * self.shared_s,
            "separate_ms_a_frame": 1000 * self.separate_s,
            "time_ratio": self.ratio,
            "time_ratio_range": [min(self.ratios), max(self.ratios)],
            "saving": 1 - self.ratio,
            "most_possible_saving": self.most,
        }


def measure_saving(
    encoders: Sequence[Encoder], models: Sequence[TaskModel], images: NDArray[np.uint8], fingerprint: str
) -> Saving:
    """Answer all questions of each frame in both ways, in turns.

    :param encoders: one a model, each loaded by itself, as separate networks are; the first is the shared one, too.
    :param models: whose heads take pooled embeddings.
    :param images: ``(n, size, size)``, prepared frames.
    """

    def answer(model: TaskModel, embeddings: NDArray[np.float32]) -> None:
        model.score(UnitFeatures(pooled_stills(embeddings, model.card.task.pooling), embeddings), fingerprint)

    def shared() -> None:
        embeddings = _encode(encoders[0], images)
        for model in models:
            answer(model, embeddings)

    def separate() -> None:
        for encoder, model in zip(encoders, models, strict=True):
            answer(model, _encode(encoder, images))

    shared()
    separate()  # not counted: each runtime allocates on its first batch
    times: dict[str, list[float]] = {"shared": [], "separate": []}
    for number in range(ROUNDS):
        ways = [("shared", shared), ("separate", separate)]
        for name, way in ways if number % 2 else reversed(ways):
            times[name].append(_seconds(way))
    return Saving(
        n_tasks=len(models),
        n_heads=sum(len(model.heads) for model in models),
        n_frames=len(images),
        shared_s=statistics.median(times["shared"]) / len(images),
        separate_s=statistics.median(times["separate"]) / len(images),
        ratios=tuple(a / b for a, b in zip(times["shared"], times["separate"], strict=True)),
        runtime=encoders[0].runtime,
    )


def _encode(encoder: Encoder, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    starts = range(0, len(images), BATCH_SIZE)
    return np.concatenate([encoder.encode(images[start : start + BATCH_SIZE]) for start in starts])


def _seconds(way: Callable[[], None]) -> float:
    started = time.perf_counter()
    way()
    return time.perf_counter() - started
