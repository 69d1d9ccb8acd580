"""Frames answered in both designs, timed in turns: single frames and batches, prepared and decoded from a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.inference.comparison import Comparison, floor
from benchmarks.inference.network import Compute
from benchmarks.inference.question import Questions
from benchmarks.timing import Rounds, Spread, Way, take_turns
from lusfx.task_model import TaskModel, UnitFeatures

SAME_WITHIN = 1e-4
Source = Callable[[], Iterable[NDArray[np.uint8]]]
"""Frames ``(size, size)``, anew at each call: held in memory, or decoded."""


class UnequalScoresError(RuntimeError):
    """The two designs do not answer alike, so that their times say nothing."""


@dataclass(frozen=True, slots=True)
class Mode:
    """How frames come.

    :param batch_size: 1 where each frame is answered before the next one is looked at; else the heads are asked once about all
        frames, as ``lusfx score`` asks them.
    :param decodes: whether a clip is decoded and prepared on the way: once, in either design.
    """

    name: str
    title: str
    batch_size: int
    decodes: bool


def modes(batch_size: int) -> tuple[Mode, ...]:
    """All four."""
    return (
        Mode("batches", f"batches of {batch_size} frames", batch_size, decodes=False),
        Mode("single-frames", "one frame at a time", 1, decodes=False),
        Mode("clip-in-batches", f"a clip decoded, then batches of {batch_size} frames", batch_size, decodes=True),
        Mode("clip-by-frame", "a clip decoded, one frame at a time", 1, decodes=True),
    )


@dataclass(frozen=True, slots=True)
class Serving:
    """An encoder, its task models, and their rivals, all loaded.

    :param networks: one a question.
    """

    encoder: Compute
    networks: Sequence[Compute]
    questions: Questions
    fingerprint: str

    def encode(self, frames: Source, mode: Mode) -> None:
        """The encoder and nothing else."""
        for batch in _batches(frames(), mode.batch_size):
            self.encoder(batch)

    def together(self, frames: Source, mode: Mode, models: Sequence[TaskModel]) -> NDArray[np.float64]:
        """Scores ``(n_frames, T)`` by one encoder and the heads of T task models."""
        batches = _batches(frames(), mode.batch_size)
        if mode.batch_size > 1:
            return self._answers(np.concatenate([self.encoder(batch) for batch in batches]), models)
        return np.concatenate([self._answers(self.encoder(batch), models) for batch in batches])

    def separately(self, frames: Source, mode: Mode, n_tasks: int) -> NDArray[np.float32]:
        """Scores ``(n_frames, T)`` by T networks, one after the other on each batch."""
        networks = self.networks[:n_tasks]
        return np.concatenate(
            [
                np.concatenate([network(batch) for network in networks], axis=1)
                for batch in _batches(frames(), mode.batch_size)
            ]
        )

    def _answers(self, embeddings: NDArray[np.float32], models: Sequence[TaskModel]) -> NDArray[np.float64]:
        units = UnitFeatures(embeddings, embeddings)
        return np.concatenate([model.score(units, self.fingerprint) for model in models], axis=1)

    def check_same_scores(self, frames: Source, mode: Mode) -> float:
        """The largest difference between the scores of the logistic heads and of the networks, which have the same weights.

        :raises UnequalScoresError: if it is more than rounding.
        """
        models = self.questions.models["logistic"]
        difference = self.together(frames, mode, models) - self.separately(frames, mode, len(models))
        largest = float(np.abs(difference).max())
        if not largest <= SAME_WITHIN:
            raise UnequalScoresError(f"one encoder and separate networks answer {largest:.2g} apart ({mode.title})")
        return largest


def compare(
    serving: Serving,
    mode: Mode,
    frames: Source,
    first: Source,
    n_frames: int,
    task_counts: Sequence[int],
    rounds: Rounds,
) -> dict[str, Any]:
    """Time both designs for every T, in turns.

    :param first: one frame, held in memory, which each way answers untimed before its turn.
    :param n_frames: that ``frames`` gives.
    :returns: facts for the result.
    """
    largest = serving.check_same_scores(frames, mode)
    times = take_turns(_ways(serving, mode, frames, task_counts), rounds, _ways(serving, mode, first, task_counts))
    return {
        "mode": mode.name,
        "title": mode.title,
        "batch_size": mode.batch_size,
        "decodes": mode.decodes,
        "frames_a_round": n_frames,
        "largest_difference_of_scores": float(f"{largest:.2g}"),
        "encoder_s_a_frame": _a_frame(times["encoder"], n_frames),
        "decode_s_a_frame": _a_frame(times["decode"], n_frames) if mode.decodes else None,
        "tasks": [_task_facts(times, n_tasks, tuple(serving.questions.models), n_frames) for n_tasks in task_counts],
    }


def _ways(serving: Serving, mode: Mode, frames: Source, task_counts: Sequence[int]) -> dict[str, Way]:
    """The encoder alone, decoding alone, and for every T its ways as neighbours, so that they are timed within a moment."""
    ways: dict[str, Way] = {"encoder": lambda: serving.encode(frames, mode)}
    if mode.decodes:
        ways["decode"] = lambda: sum(1 for _ in frames())
    for n_tasks in task_counts:
        for kind, models in serving.questions.models.items():
            ways[f"{kind} {n_tasks}"] = _shared(serving, frames, mode, models[:n_tasks])
        ways[f"separate {n_tasks}"] = _separate(serving, frames, mode, n_tasks)
    return ways


def _task_facts(
    times: Mapping[str, Sequence[float]], n_tasks: int, kinds: Sequence[str], n_frames: int
) -> dict[str, Any]:
    separate = times[f"separate {n_tasks}"]
    return {
        "n_tasks": n_tasks,
        "floor_percent": round(100 * floor(n_tasks), 3),
        "separate_s_a_frame": _a_frame(separate, n_frames),
        "heads": {kind: Comparison(n_tasks, times[f"{kind} {n_tasks}"], separate).as_dict(n_frames) for kind in kinds},
    }


def _shared(serving: Serving, frames: Source, mode: Mode, models: Sequence[TaskModel]) -> Way:
    return lambda: serving.together(frames, mode, models)


def _separate(serving: Serving, frames: Source, mode: Mode, n_tasks: int) -> Way:
    return lambda: serving.separately(frames, mode, n_tasks)


def _a_frame(times_s: Sequence[float], n_frames: int) -> dict[str, float]:
    return Spread.of([time_s / n_frames for time_s in times_s]).as_dict()


def _batches(frames: Iterable[NDArray[np.uint8]], batch_size: int) -> Iterator[NDArray[np.uint8]]:
    """Frames put together, ``(n, size, size)``."""
    rest = iter(frames)
    while some := list(islice(rest, batch_size)):
        yield np.stack(some)
