"""A learning curve judges the same patients by fewer of the others, and says no more than its intervals allow."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import Task
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.cross_validation import CrossValidation, FoldPlace, Procedure, cross_validate
from lusfx.engine.training.learner import Learner
from lusfx.engine.training.learning_curve import CurvePoint, LearningCurve, OnFraction, learning_curve
from lusfx.engine.training.report import training_page
from lusfx.engine.training.train import train_task
from lusfx.errors import TrainingRefusedError
from lusfx.metrics import Interval
from lusfx.testing.small_cache import SmallCache

pytestmark = pytest.mark.usefixtures("few_resamples")
MakeSamples = Callable[..., Samples]
MakeLearner = Callable[..., Learner]
POINT = CurvePoint(1.0, 20, Interval(0.8, 0.7, 0.9))


class Plain(Task):
    """Effusion, one answer a clip."""

    name = "plain"
    label_columns = ("effusion",)


class Signs(Task):
    """A-lines and B-lines, each seen or not."""

    name, kind = "signs", "multi-label"
    classes = ("A-lines", "B-lines")
    label_columns = ("a", "b")


class Shown:
    """Writes down whom a procedure is shown."""

    def __init__(self, learner: Learner) -> None:
        self.learner, self.patients = learner, {}
        self.operating_points, self.seed = learner.operating_points, learner.seed

    def learn_together(self, samples: Samples, outcomes: Sequence[int], place: FoldPlace) -> Any:
        self.patients.setdefault((place.repeat, place.fold), []).append(set(samples.groups.tolist()))
        return self.learner.learn_together(samples, outcomes, place)


def test_shares_lie_within_one_another_and_hold_out_the_same_patients(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    samples, shown = made_up_samples(n_patients=40), Shown(learner_of(spy))
    validations = {
        fraction: cross_validate(OnFraction(shown, fraction, []), samples, 0, 4, 2) for fraction in (0.25, 0.5, 1.0)
    }
    assert len(shown.patients) == 8
    for quarter, half, whole in shown.patients.values():
        assert quarter < half < whole
        assert [len(quarter), len(half), len(whole)] == pytest.approx([7.5, 15, 30], abs=1)
    first = validations[0.25]
    for validation in validations.values():
        assert np.array_equal(validation.folds, first.folds)
        assert not np.isnan(validation.probabilities).any()
    for (repeat, fold), sides in shown.patients.items():
        tested = samples.groups[first.rows[first.folds[repeat - 1] == fold - 1]]
        assert all(not side & set(tested.tolist()) for side in sides)


def test_a_share_that_cannot_be_learnt_from_is_left_out(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    samples, learner, said = made_up_samples(), learner_of(spy), []

    def validate(procedure: Procedure[Any], of: str) -> list[CrossValidation]:
        if of.startswith((", 25%", ", 50%")):
            raise TrainingRefusedError("too few")
        return [cross_validate(procedure, samples, 0, 2, 1)]

    whole = validate(learner, "")
    curve = learning_curve(learner, validate, whole, samples, said.append)
    assert [point.fraction for point in curve.points] == [0.75, 1.0]
    assert curve.points[-1].n_patients == 10
    assert curve.doubling is None
    assert "half of the patients are too few" in str(curve)
    assert said == [f"the learning curve leaves out {share} of the patients: too few" for share in ("25%", "50%")]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.001, 0.1, "still rising"),
        (-0.05, 0.019, "flat"),
        (-0.05, 0.05, "not enough to say"),
        (float("nan"), float("nan"), "not enough to say"),
    ],
)
def test_the_interval_of_a_doubling_decides_what_is_said(low: float, high: float, verdict: str) -> None:
    curve = LearningCurve([POINT], Interval(0.01, low, high))
    assert curve.verdict == verdict
    assert str(curve).startswith(f"the learning curve: {verdict}; twice the patients brought AUC +0.010 (")
    assert curve.as_dict()["verdict"] == verdict


@pytest.mark.slow
@pytest.mark.parametrize("task", [Plain(), Signs()], ids=lambda task: task.name)
def test_a_training_has_its_curve_in_the_evidence_and_the_report(
    small_cache_of: Any, tmp_path: Path, task: Task
) -> None:
    small: SmallCache = small_cache_of(task, n_patients=18, signal=3.0)
    facts: dict[str, Any] = {"n_folds": 2, "n_repeats": 2, "site_key": small.site_key, "head": "logistic"}
    (result,) = train_task([task], small.labels, small.cache, tmp_path / "model", learning_curve=True, **facts)
    assert result.curve is not None
    assert [point.fraction for point in result.curve.points] == [0.25, 0.5, 0.75, 1.0]
    assert [point.n_patients for point in result.curve.points] == sorted(p.n_patients for p in result.curve.points)
    figure = result.figures["mean_roc_auc"] if result.figures else result.outcomes[0].metrics["roc_auc"]
    assert result.curve.points[-1].auc.value == pytest.approx(figure.value)
    assert result.curve.doubling is not None
    half = result.curve.points[1].auc.value
    assert result.curve.doubling.value == pytest.approx(figure.value - half)
    evidence = json.loads((result.out / "evidence.json").read_bytes())
    assert evidence["learning_curve"] == result.as_dict()["learning_curve"] == result.curve.as_dict()
    (section,) = [s for s in training_page(result).sections if s.title == "Would more labels help?"]
    assert str(result.curve)[1:] in str(section.parts[0])
    (plain,) = train_task([task], small.labels, small.cache, tmp_path / "plain", **facts)
    assert plain.curve is None
    assert "Would more labels help?" not in [section.title for section in training_page(plain).sections]
    assert plain.outcomes[0].metrics == result.outcomes[0].metrics
