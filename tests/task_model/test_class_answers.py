"""From the probabilities of the outcomes to the answer of the task, and what a head or an aggregation may say at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import Aggregation, Bags, Features, Head, Mean, Task
from lusfx.errors import PluginError, TaskModelError
from lusfx.task_model import OperatingPointCard, RuleCard, TaskCard, UnitFeatures, class_numbers, raw_scores


class View(Task):
    """Which view?"""

    name, kind = "view", "multi-class"
    classes = ("parenchymal", "pleural", "other")
    label_columns = ("view",)


class Severity(Task):
    """How severe?"""

    name, kind = "severity", "ordinal"
    classes = ("0", "1", "2", "3")
    label_columns = ("severity",)


class ABLines(Task):
    """Which lines?"""

    name, kind = "ab-lines", "multi-label"
    classes = ("A-lines", "B-lines")
    label_columns = ("a_lines", "b_lines")


class BLines(Task):
    """B-lines?"""

    name = "b-lines"
    classes = ("no B-lines", "B-lines")
    label_columns = ("b_lines",)


def numbers(task: Task, probabilities: Any, threshold: float = 0.5) -> list[int]:
    found = np.array(probabilities, np.float64)
    return class_numbers(TaskCard.of(task), found, found >= threshold).tolist()


@pytest.fixture
def answer(models: Any, tmp_path: Path) -> Any:
    """What a loaded model of a task answers where its outcomes have the given probabilities."""

    def ask(task: Task, *probabilities: float, **outcome: Any) -> str:
        facts = models.make_facts(task=task, outcome=outcome)
        heads = [models.plain_head()] * len(probabilities)
        models.save(tmp_path / task.name, facts, models.files_of(*heads))
        said: str = models.load(tmp_path / task.name).answer(np.array(probabilities))
        return said

    return ask


# ---- classes ------------------------------------------------------------------------------------------------------


def test_a_binary_task_is_answered_by_its_decision() -> None:
    assert numbers(BLines(), [[0.2], [0.5], [0.9]]) == [0, 1, 1]
    assert numbers(BLines(), [[0.2], [0.5], [0.9]], threshold=0.6) == [0, 0, 1]


def test_a_multi_class_task_is_answered_by_its_most_probable_class() -> None:
    """Whatever the thresholds: none of the classes need reach its own, and several may."""
    assert numbers(View(), [[0.1, 0.3, 0.2], [0.9, 0.8, 0.7], [0.2, 0.2, 0.9]]) == [1, 0, 2]


@pytest.mark.parametrize(
    ("probabilities", "level"),
    [
        ([0.1, 0.1, 0.1], 0),
        ([0.9, 0.1, 0.1], 1),
        ([0.9, 0.9, 0.1], 2),
        ([0.9, 0.9, 0.9], 3),
        ([0.1, 0.9, 0.9], 0),
        ([0.9, 0.1, 0.9], 1),
        ([0.4, 0.1, 0.9], 0),
    ],
)
def test_an_ordinal_level_is_not_reached_over_a_denied_step(probabilities: list[float], level: int) -> None:
    assert numbers(Severity(), [probabilities]) == [level]


def test_many_units_are_answered_at_once() -> None:
    assert numbers(Severity(), [[0.9, 0.1, 0.9], [0.9, 0.9, 0.9]]) == [1, 3]
    assert numbers(Severity(), np.zeros((0, 3))) == []


# ---- answers ------------------------------------------------------------------------------------------------------


def test_the_answer_is_the_name_of_a_class(answer: Any) -> None:
    assert answer(BLines(), 0.49999) == "no B-lines"
    assert answer(BLines(), 0.5) == "B-lines"
    assert answer(View(), 0.4, 0.1, 0.45) == "other"
    assert answer(Severity(), 0.6, 0.5, 0.2) == "2"
    assert answer(Severity(), 0.4, 0.9, 0.9) == "0"


@pytest.mark.parametrize(
    ("probabilities", "said"),
    [((0.1, 0.2), "none"), ((0.8, 0.2), "A-lines"), ((0.1, 0.5), "B-lines"), ((0.9, 0.9), "A-lines; B-lines")],
)
def test_labels_that_are_present_are_listed(answer: Any, probabilities: tuple[float, float], said: str) -> None:
    assert answer(ABLines(), *probabilities) == said


def test_the_deciding_operating_point_decides(answer: Any) -> None:
    assert answer(BLines(), 0.3) == "no B-lines"
    assert answer(BLines(), 0.3, decides="screen") == "B-lines"
    assert answer(BLines(), 0.8, decides="rule-in") == "no B-lines"


def test_a_threshold_above_one_always_answers_no(answer: Any) -> None:
    never = OperatingPointCard(rule=RuleCard(kind="youden"), threshold=1.0000001)
    assert answer(BLines(), 1.0, operating_points={"never": never}, decides="never") == "no B-lines"


# ---- what a head says ---------------------------------------------------------------------------------------------


class Saying(Head):
    """A plugin's head that says what it is told."""

    def __init__(self, *scores: float) -> None:
        self.scores = np.array(scores)

    def predict_proba(self, features: Features) -> Any:
        return np.stack([1 - self.scores, self.scores], axis=1)

    def files(self) -> dict[str, bytes]:
        return {}


class Giving(Aggregation):
    """A plugin's aggregation that gives what it is told."""

    def __init__(self, score: Any) -> None:
        self.score = score

    def __call__(self, probabilities: Any, durations_s: Any) -> Any:
        return self.score


VECTORS = UnitFeatures(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32))
CLIPS = UnitFeatures(
    Bags.of([np.zeros((2, 3), np.float32), np.zeros((1, 3), np.float32)]),
    np.zeros((2, 3), np.float32),
    [np.ones(2), np.ones(1)],
)


@pytest.mark.parametrize("scores", [(0.5, 1.5), (-0.1, 0.5), (np.nan, 0.5), (np.inf, 0.5), (0.5,), (0.5, 0.5, 0.5)])
def test_a_head_gives_one_probability_a_unit(scores: tuple[float, ...]) -> None:
    with pytest.raises(TaskModelError, match="the head gives scores that are not one probability a unit"):
        raw_scores(Saying(*scores), VECTORS, None)
    assert raw_scores(Saying(0.0, 1.0), VECTORS, None).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("score", [1.5, -0.1, np.nan, np.inf])
def test_an_aggregation_gives_a_probability(score: float) -> None:
    with pytest.raises(TaskModelError, match="the head with the aggregation Giving gives scores that are not"):
        raw_scores(Saying(0.5, 0.5, 0.5), CLIPS, Giving(score))
    assert raw_scores(Saying(0.5, 0.5, 0.5), CLIPS, Giving(1)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("score", [None, "yes", [0.5, 0.5], 1j])
def test_an_aggregation_that_gives_no_number_is_its_plugins_fault(score: Any) -> None:
    with pytest.raises(PluginError, match=r"the aggregation Giving failed: (TypeError|ValueError)"):
        raw_scores(Saying(0.5, 0.5, 0.5), CLIPS, Giving(score))


def test_an_aggregation_cannot_change_what_other_outcomes_share() -> None:
    class Meddling(Aggregation):
        def __call__(self, probabilities: Any, durations_s: Any) -> float:
            durations_s[:] = 0
            return 0.5

    before = [durations.copy() for durations in CLIPS.durations_s or ()]
    with pytest.raises(PluginError, match="the aggregation Meddling failed: ValueError"):
        raw_scores(Saying(0.5, 0.5, 0.5), CLIPS, Meddling())
    for durations, expected in zip(CLIPS.durations_s or (), before, strict=True):
        np.testing.assert_array_equal(durations, expected)
        assert durations.flags.writeable


def test_equal_clips_score_equally_whatever_the_order_of_their_frames_durations() -> None:
    """Sums of the same durations in another order differ in their last digits."""
    durations = np.array([0.1, 0.2, 0.3, 0.7])
    rows = np.zeros((4, 1), np.float32)
    clips = UnitFeatures(Bags.of([rows, rows]), np.zeros((2, 1), np.float32), [durations, durations[::-1]])
    first, second = raw_scores(Saying(*[0.3] * 8), clips, Mean())
    assert first == second


def test_frames_without_durations_cannot_be_aggregated() -> None:
    with pytest.raises(TypeError, match="how long they last"):
        raw_scores(Saying(0.5, 0.5), VECTORS, Mean())


# ---- units --------------------------------------------------------------------------------------------------------


def test_units_are_taken_with_all_that_belongs_to_them() -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    clips = UnitFeatures(Bags.of([rows[:1], rows[1:]]), rows[:2], [np.array([1.0]), np.array([0.2, 0.3])])
    taken = clips.take(np.array([1, 0, 1]))
    assert isinstance(taken.features, Bags)
    np.testing.assert_array_equal(taken.features.rows, rows[[1, 2, 0, 1, 2]])
    assert [durations.tolist() for durations in taken.durations_s or ()] == [[0.2, 0.3], [1.0], [0.2, 0.3]]
    np.testing.assert_array_equal(taken.centres, rows[[1, 0, 1]])
    assert (len(taken), taken.n_features) == (3, 2)


def test_a_unit_is_finite_where_all_its_rows_are() -> None:
    rows = np.zeros((4, 2), np.float32)
    rows[2, 1] = np.nan
    vectors = UnitFeatures(rows, rows)
    clips = UnitFeatures(Bags(rows, np.array([0, 1, 3, 4])), rows[:3])
    assert vectors.finite.tolist() == [True, True, False, True]
    assert clips.finite.tolist() == [True, False, True]
