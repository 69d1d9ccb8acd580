"""A task that writes to its input, gives logits, or remembers: the kit says so, and no task asked beside it is harmed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.cache import Cache
from lusfx.contracts import Aggregation, Mean, Task
from lusfx.engine.scoring.answers import Panel
from lusfx.errors import LusfxError, PluginError, TaskModelError
from lusfx.task_model import TaskModel
from lusfx.testing import SmallCache, TaskConformance

pytestmark = pytest.mark.slow

Array = NDArray[Any]
OTHERS = ("is_registered", "scores_in_a_fresh_process")


class Innocent(Task):
    """A sound task of pooled frames."""

    name = "innocent"
    label_columns = ("seen",)


class InnocentFrames(Task):
    """A sound task of single frames."""

    name = "innocent-frames"
    label_columns = ("seen",)
    aggregate = Mean()


class Hostile(Task):
    """Sound while it is trained, and hostile from then on."""

    name = "hostile"
    label_columns = ("seen",)
    active: ClassVar[list[bool]] = [False]


class MutatingPool(Hostile):
    """Pools in place."""

    pooling = "custom"

    def pool(self, embeddings: Array, times_s: Array) -> Array:
        if self.active[0]:
            embeddings -= embeddings.mean(axis=0)
            times_s[:] = 0
        return embeddings.mean(axis=0)


class RememberingPool(Hostile):
    """Takes the running mean of all clips so far for the clip's own."""

    pooling = "custom"

    def __init__(self) -> None:
        self.seen: list[Array] = []

    def pool(self, embeddings: Array, times_s: Array) -> Array:
        if not self.active[0]:
            return embeddings.mean(axis=0)
        self.seen.append(embeddings.mean(axis=0))
        return np.mean(self.seen, axis=0)


class OtherLengthPool(Hostile):
    """Has more features than it was trained with."""

    pooling = "custom"

    def pool(self, embeddings: Array, times_s: Array) -> Array:
        return np.append(embeddings.mean(axis=0), [0.0] * self.active[0])


class Aggregated(Hostile):
    """Sound while it is trained, and then what its aggregation is."""


class MutatingAggregation(Aggregation):
    def __call__(self, probabilities: Array, durations_s: Array) -> float:
        if Hostile.active[0]:
            probabilities.sort()
            durations_s /= durations_s.sum()
        return float(np.average(probabilities, weights=durations_s))


class LogitAggregation(Aggregation):
    def __call__(self, probabilities: Array, durations_s: Array) -> float:
        p = float(np.clip(np.average(probabilities, weights=durations_s), 1e-6, 1 - 1e-6))
        return float(np.log(p / (1 - p))) if Hostile.active[0] else p


class RememberingAggregation(Aggregation):
    def __init__(self) -> None:
        self.highest = 0.0

    def __call__(self, probabilities: Array, durations_s: Array) -> float:
        score = float(np.average(probabilities, weights=durations_s))
        self.highest = max(self.highest, score)
        return self.highest if Hostile.active[0] else score


class MutatingFrames(Aggregated):
    """Sorts the probabilities that it is given."""

    aggregate = MutatingAggregation()


class LogitFrames(Aggregated):
    """Gives logits for probabilities."""

    aggregate = LogitAggregation()


class RememberingFrames(Aggregated):
    """Gives the highest score of all clips so far."""

    aggregate = RememberingAggregation()


@pytest.fixture
def active(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Turns the hostile tasks hostile, until the test ends."""
    return lambda: monkeypatch.setattr(Hostile, "active", [True])


@pytest.mark.parametrize(
    ("task", "caught_by"),
    [
        (MutatingPool(), "pooling_leaves_its_input_alone"),
        (RememberingPool(), "features_are_of_the_clip_alone"),
        (MutatingFrames(), "aggregation_leaves_its_input_alone"),
        (LogitFrames(), "aggregation_gives_probabilities"),
        (RememberingFrames(), "aggregation_rises_with_the_frames"),
    ],
    ids=lambda item: type(item).__name__ if isinstance(item, Task) else item,
)
def test_the_kit_catches_it(judge: Callable[..., Any], active: Callable[[], None], task: Task, caught_by: str) -> None:
    active()
    verdict = judge(type("Kit", (TaskConformance,), {"task": task}), without=OTHERS)
    assert caught_by in verdict.failed


@pytest.fixture(scope="module")
def innocents(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallCache, list[TaskModel]]:
    """A small cache, and a pooled and an aggregated task that were trained on it."""
    trained = [
        type("Kit", (TaskConformance,), {"task": task}).train(tmp_path_factory.mktemp(task.name))
        for task in (Innocent(), InnocentFrames())
    ]
    return trained[0][0], [model for _, model, _ in trained]


def state_of(folder: Path) -> dict[str, str]:
    """Digest of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def ask(models: list[TaskModel], small: SmallCache) -> dict[str, dict[str, list[float]]]:
    """Scores of all clips by model and clip."""
    answers = Panel(models, with_gates=False).ask(small.clips(), {}, small.store.fingerprint)
    return {
        digest: {key: [float(p) for answer in said for p in answer.probabilities] for key, said in clips.items()}
        for digest, clips in answers.items()
    }


@pytest.mark.parametrize(
    ("task", "error", "says"),
    [
        (MutatingPool(), PluginError, "the method 'pool' of task 'hostile' failed"),
        (RememberingPool(), None, None),
        (OtherLengthPool(), TaskModelError, "takes features of length 24, not 25"),
        (MutatingFrames(), PluginError, "the aggregation MutatingAggregation failed"),
        (LogitFrames(), TaskModelError, "not one probability a unit"),
        (RememberingFrames(), None, None),
    ],
    ids=lambda item: type(item).__name__ if isinstance(item, Task) else "",
)
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_it_harms_no_task_that_is_asked_beside_it(
    innocents: tuple[SmallCache, list[TaskModel]],
    active: Callable[[], None],
    tmp_path: Path,
    task: Task,
    error: type[LusfxError] | None,
    says: str | None,
    first: bool,
) -> None:
    """One pass is refused whole with a word for what is wrong, or the others' scores are what they are without it."""
    small, models = innocents
    _, hostile, _ = type("Kit", (TaskConformance,), {"task": task}).train(tmp_path)
    alone, on_disk = ask(models, small), state_of(small.cache)
    active()
    together = [hostile, *models] if first else [*models, hostile]
    if error is None:
        answers = ask(together, small)
        assert {model.digest: answers[model.digest] for model in models} == alone
    else:
        with pytest.raises(error, match=says):
            ask(together, small)
    assert ask(models, small) == alone, "what comes after it has other scores"
    assert state_of(small.cache) == on_disk
    assert Cache.open(small.cache).find(small.store.fingerprint).keys() == small.store.keys()
