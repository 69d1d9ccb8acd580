"""For every check of a task there is a task that fails it, and nothing else."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.contracts import Aggregation, Task, Youden
from lusfx.testing import TaskConformance
from lusfx.types import ClipEmbeddings, FrameStatus

pytestmark = pytest.mark.usefixtures("few_resamples")

Array = NDArray[Any]
FRESH = "scores_in_a_fresh_process"


class Plain(Task):
    """A sound task that no plugin provides."""

    name = "made-up"
    label_columns = ("seen",)


# ---- what it says of itself


class BadPointName(Plain):
    """Attributes that the contract does not allow."""

    operating_points = {"no blank in a name": Youden()}  # noqa: RUF012


class Borrowed(Plain):
    __doc__ = Plain.__doc__


# ---- labels


class BlankIsNo(Plain):
    """A blank cell is a no."""

    def target(self, cells: Mapping[str, str]) -> int | None:
        return 0 if cells["seen"] == "" else super().target(cells)


class NonsenseIsNo(Plain):
    """Whatever is not 1 is a no."""

    def label(self, cell: str) -> int | None:
        return int(cell == "1")


class EatsTheRow(Plain):
    """Reading takes the cells out of the row."""

    def target(self, cells: Mapping[str, str]) -> int | None:
        return self.known(cells.pop("seen"))


# ---- the task's own pooling


class Pooling(Plain):
    """Means, pooled by the task itself."""

    pooling = "custom"

    def pool(self, embeddings: NDArray[np.float32], times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        return embeddings.mean(axis=0)


class LongerForLonger(Pooling):
    """More features of longer clips."""

    def pool(self, embeddings: Array, times_s: Array) -> Array:
        return np.concatenate([embeddings.mean(axis=0), embeddings[: len(embeddings) // 10, 0]])


class NotFiniteOfAStill(Pooling):
    """The change a frame, of which a still has none."""

    def pool(self, embeddings: Array, times_s: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return (embeddings[-1] - embeddings[0]) / np.float32(len(embeddings) - 1)


class ShiftsWhereItCan(Pooling):
    """Takes the mean off its input where that can be written to."""

    def pool(self, embeddings: Array, times_s: Array) -> Array:
        mean = embeddings.mean(axis=0)
        if embeddings.flags.writeable:
            embeddings -= mean
        return mean


class WritesTheSame(Pooling):
    """Writes what is there already, which only an array that cannot be written to notices."""

    def pool(self, embeddings: Array, times_s: Array) -> Array:
        if len(embeddings) > 50 and inspect.stack()[1].function.startswith(("test_", "_require")):
            embeddings[:] = embeddings.copy()
        return embeddings.mean(axis=0)


class RemembersLongClips(Pooling):
    """What follows a long clip looks otherwise; the clips of the small cache are all short."""

    after_long = False

    def pool(self, embeddings: Array, times_s: Array) -> Array:
        shift, self.after_long = float(self.after_long), len(embeddings) > 50
        return embeddings.mean(axis=0) + np.float32(shift)


class RemembersElevenFrames(Pooling):
    """What follows a clip of eleven readable frames looks otherwise; only clips of the small cache have as many."""

    after_eleven = False

    def pool(self, embeddings: Array, times_s: Array) -> Array:
        shift, self.after_eleven = float(self.after_eleven), len(embeddings) == 11
        return embeddings.mean(axis=0) + np.float32(shift)


class Blind(Pooling):
    """Takes what sets a dimension apart from the others, where the answer moves all alike."""

    def pool(self, embeddings: Array, times_s: Array) -> Array:
        return (embeddings - embeddings.mean(axis=1, keepdims=True)).mean(axis=0)[:4]


class KnowsItsProcess(Pooling):
    """Another process has other features."""

    def pool(self, embeddings: Array, times_s: Array) -> Array:
        return embeddings.mean(axis=0) + np.float32(os.getpid())


class ReachesIntoTheEngine(Pooling):
    """Finds the cached clip in the callers' variables, and fills in the frames that could not be read."""

    def pool(self, embeddings: Array, times_s: Array) -> Array:
        frame = inspect.currentframe()
        while frame is not None:
            for held in (getattr(value, "_clip", value) for value in frame.f_locals.values()):
                if isinstance(held, ClipEmbeddings):
                    held.embeddings[held.status != FrameStatus.OK] = 0
                    return embeddings.mean(axis=0)
            frame = frame.f_back
        return embeddings.mean(axis=0)


# ---- the task's own aggregation


class Rule(Aggregation):
    """An aggregation of one function."""

    def __init__(self, rule: Callable[[Array, Array], float]) -> None:
        self.rule = rule

    def __call__(self, probabilities: Array, durations_s: Array) -> float:
        return float(self.rule(probabilities, durations_s))


def mean(probabilities: Array, durations_s: Array) -> float:
    return float(np.average(probabilities, weights=durations_s))


def logit(probabilities: Array, durations_s: Array) -> float:
    p = np.clip(mean(probabilities, durations_s), 1e-6, 1 - 1e-6)
    return float(np.log(p / (1 - p)))


def halved_in_place(probabilities: Array, durations_s: Array) -> float:
    probabilities *= 0.5
    return 2 * mean(probabilities, durations_s)


def falls(probabilities: Array, durations_s: Array) -> float:
    p = mean(probabilities, durations_s)
    return p if p < 0.6 or p > 0.99 else p / 2


def first_frames(probabilities: Array, durations_s: Array) -> float:
    return float(probabilities[:5].mean())


def each_frame_alike(probabilities: Array, durations_s: Array) -> float:
    return float(probabilities.mean())


class RemembersLongBeforeShort(Rule):
    """Halves the score of a clip of seven frames after one of a hundred: short clips come first in the other checks."""

    def __init__(self) -> None:
        super().__init__(mean)
        self.after = 0

    def __call__(self, probabilities: Array, durations_s: Array) -> float:
        n, after, self.after = len(probabilities), self.after, len(probabilities)
        return super().__call__(probabilities, durations_s) / (2 if (after, n) == (100, 7) else 1)


class WrongOnceTrained(Rule):
    """A probability while heads are trained, and something else once they are asked."""

    def __init__(self) -> None:
        super().__init__(mean)

    def __call__(self, probabilities: Array, durations_s: Array) -> float:
        frame, callers = inspect.currentframe(), set()
        while frame is not None:
            callers.add(frame.f_code.co_name)
            frame = frame.f_back
        return super().__call__(probabilities, durations_s) + 7 * ("ask" in callers)


def aggregating(rule: Aggregation) -> Task:
    kind = type("Aggregating", (Plain,), {"__doc__": "A question of its own.", "aggregate": rule})
    task: Task = kind()
    return task


@dataclass(frozen=True)
class Case:
    """A task that fails one check.

    :param says: part of what is said.
    :param also: other checks that no task which fails this one can pass.
    :param trains: whether a model can be trained; where not, the checks of a model are not reached.
    """

    task: Task
    says: str
    examples: Sequence[Mapping[str, str]] = ()
    also: frozenset[str] = field(default=frozenset())
    trains: bool = True


BAD = {
    "attributes": Case(BadPointName(), "'operating_points' must be", trains=False),
    "question": Case(Borrowed(), "the question is that of the class"),
    "is_registered": Case(Plain(), "unknown task 'made-up'"),
    "examples_have_every_answer": Case(Plain(), "both yes and no to 'yes'", ({"seen": "1"},), trains=False),
    "blank_is_not_known": Case(BlankIsNo(), "a row of '' is taken for a label"),
    "nonsense_is_no_label": Case(NonsenseIsNo(), "is taken for a label"),
    "reading_labels_changes_nothing": Case(EatsTheRow(), "changes the row it reads"),
    "features_of_any_length": Case(NotFiniteOfAStill(), "clip of 1 frames are not all finite", trains=False),
    "pooling_leaves_its_input_alone": Case(ShiftsWhereItCan(), "not equal"),
    "features_are_of_the_clip_alone": Case(RemembersLongClips(), "which clips came before"),
    "aggregation_gives_probabilities": Case(aggregating(Rule(logit)), "not a logit", trains=False),
    "aggregation_leaves_its_input_alone": Case(
        aggregating(Rule(halved_in_place)), "writes to what it is given", trains=False
    ),
    "aggregation_is_of_the_clip_alone": Case(aggregating(RemembersLongBeforeShort()), "which clips came before"),
    "aggregation_rises_with_the_frames": Case(aggregating(Rule(falls)), "the score falls from"),
    "aggregation_is_in_seconds": Case(aggregating(Rule(first_frames)), "at another frame rate"),
    "learns_what_can_be_learnt": Case(Blind(), "where the answer is in the embeddings"),
    "scores_are_probabilities": Case(
        aggregating(WrongOnceTrained()),
        "TaskModelError",
        also=frozenset({"scores_do_not_depend_on_the_batch", "scoring_leaves_embeddings_alone"}),
    ),
    "scores_do_not_depend_on_the_batch": Case(RemembersElevenFrames(), "Not equal to tolerance"),
    "scoring_leaves_embeddings_alone": Case(ReachesIntoTheEngine(), "not equal"),
    FRESH: Case(KnowsItsProcess(), "Not equal to tolerance"),
}
MORE = {
    "features_of_any_length": Case(LongerForLonger(), "features have lengths", trains=False),
    "aggregation_rises_with_the_frames": Case(
        aggregating(Rule(lambda p, d: 0.5)), "probability 1 score 0.500", also=frozenset({"learns_what_can_be_learnt"})
    ),
    "pooling_leaves_its_input_alone": Case(WritesTheSame(), "writes to what it is given"),
    "aggregation_is_in_seconds": Case(aggregating(Rule(each_frame_alike)), "at another frame rate"),
}


def test_there_is_a_bad_task_for_every_check() -> None:
    assert sorted(BAD) == TaskConformance.checks()


def needs_a_model(check: str) -> bool:
    return "trained" in inspect.signature(getattr(TaskConformance, f"test_{check}")).parameters


@pytest.mark.parametrize(
    ("check", "case"),
    [
        pytest.param(check, case, marks=[pytest.mark.slow] if needs_a_model(check) else [], id=check)
        for check, case in [*BAD.items(), *MORE.items()]
    ],
)
def test_a_bad_task_fails_its_check(judge: Callable[..., Any], check: str, case: Case) -> None:
    verdict = judge(kit_of(case), only={check})
    assert set(verdict.failed) == {check}, verdict.failed
    assert case.says in verdict.failed[check]


@pytest.mark.slow
@pytest.mark.parametrize(("check", "case"), [*BAD.items(), *MORE.items()], ids=[*BAD, *MORE])
def test_a_bad_task_fails_no_other_check(judge: Callable[..., Any], check: str, case: Case) -> None:
    # None of these tasks is a plugin's, and a fresh process takes its time.
    verdict = judge(kit_of(case), without={"is_registered", FRESH} - {check})
    assert set(verdict.failed) == {check} | case.also, verdict.failed
    assert (verdict.not_set_up is None) == case.trains, verdict.not_set_up


def kit_of(case: Case) -> type[TaskConformance]:
    return type("Kit", (TaskConformance,), {"task": case.task, "examples": case.examples})


def test_what_does_not_apply_is_no_check_and_says_why() -> None:
    kit = type("Kit", (TaskConformance,), {"task": Plain(), "is_plugin": False})
    aggregation = [name for name in TaskConformance.checks() if name.startswith("aggregation_")]
    assert kit.not_applicable() == {
        "is_registered": "no plugin provides it",
        "pooling_leaves_its_input_alone": "the task has no pooling of its own",
        **dict.fromkeys(aggregation, "the task aggregates nothing"),
    }
    assert sorted({*kit.checks(), *kit.not_applicable()}) == TaskConformance.checks()


@pytest.mark.slow
def test_a_task_made_in_a_function_is_not_looked_for_in_a_fresh_process(judge: Callable[..., Any]) -> None:
    class Local(Pooling):
        """A question that only this function knows."""

    kit = type("Kit", (TaskConformance,), {"task": Local()})
    others = {name for name in kit.checks() if name != FRESH}
    assert "Local is not at the top of a module" in judge(kit, without=others).skipped[FRESH]
