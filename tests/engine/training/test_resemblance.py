"""The fit that is saved is of the kind of those that its figures are of; else it is done again, or there is no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.calibration import IsotonicCalibration
from lusfx.contracts import Bags, Head, HeadSettings, HeadSpec, Mean, Task, TrainingSet
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.cross_validation import cross_validate
from lusfx.engine.training.judging import judged_outcome
from lusfx.engine.training.learner import Learner
from lusfx.engine.training.resemblance import unlike
from lusfx.engine.training.train import train_task
from lusfx.errors import TrainingRefusedError
from lusfx.tables import read_table
from lusfx.task_model import UnitFeatures

MakeSamples = Callable[..., Samples]
MakeLearner = Callable[..., Learner]
SIGNAL = 1
"""Column of made-up samples."""
Answer = Callable[[np.ndarray], np.ndarray]


def by_signal(rows: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-rows[:, SIGNAL].astype(np.float64)))


FAILURES: dict[str, Answer] = {
    "constant": lambda rows: np.full(len(rows), 0.667),
    "nearly constant": lambda rows: 0.5 + 1e-3 * (by_signal(rows) - 0.5),
    "the opposite": lambda rows: 1 - by_signal(rows),
    "noise": lambda rows: np.random.default_rng(0).random(len(rows)),
}


class Failing(HeadSpec):
    """A plugin's head that fails on a large table for its first seeds, and answers by the signal else."""

    name = "failing"
    summary = "fails on everything"
    settings = HeadSettings

    def __init__(self, failure: Answer, from_rows: int, n_failing: int) -> None:
        self.failure, self.from_rows, self.n_failing = failure, from_rows, n_failing
        self.seeds: list[int] = []

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
        fails = len(training.targets) >= self.from_rows
        if fails and seed not in self.seeds:
            self.seeds.append(seed)
        answer = self.failure if fails and self.seeds.index(seed) < self.n_failing else by_signal

        class Answering(Head):
            def predict_proba(self, features: Any) -> np.ndarray:
                yes = answer(features)
                return np.stack([1 - yes, yes], axis=1)

            def files(self) -> Mapping[str, bytes]:
                return {"head.txt": b"x"}

        return Answering()

    def load(self, files: Mapping[str, bytes]) -> Head:
        raise NotImplementedError


@pytest.mark.parametrize("failure", FAILURES)
def test_a_fit_unlike_those_in_the_folds_is_refused(
    made_up_samples: MakeSamples, learner_of: MakeLearner, failure: str
) -> None:
    samples = made_up_samples()
    head = Failing(FAILURES[failure], len(samples), 99)
    with pytest.raises(TrainingRefusedError, match=r"the head 'failing', fitted on all samples, .* 3 times") as caught:
        learner_of(head).learn(samples, 0)
    assert "--head" in str(caught.value)
    assert len(head.seeds) == 3


@pytest.mark.parametrize("failure", FAILURES)
def test_it_is_done_again_from_other_random_numbers(
    made_up_samples: MakeSamples, learner_of: MakeLearner, failure: str
) -> None:
    samples, notes = made_up_samples(), []
    learner = learner_of(Failing(FAILURES[failure], len(samples), 2), note=notes.append)
    learnt = learner.learn(samples, 0)
    np.testing.assert_array_equal(
        learnt.head.predict_proba(samples.units.features)[:, 1], by_signal(samples.units.features)
    )
    assert len(notes) == 2
    assert all("it was done again" in note for note in notes)


def test_so_it_is_where_scores_are_aggregated(made_up_samples: MakeSamples, learner_of: MakeLearner) -> None:
    samples = made_up_samples()
    rows = np.repeat(samples.units.features, 4, axis=0)
    bags = UnitFeatures(Bags(rows, np.arange(0, len(rows) + 1, 4)), samples.units.centres, [np.ones(4)] * len(samples))
    framed = replace(samples, units=bags)
    with pytest.raises(TrainingRefusedError, match="fitted on all samples"):
        learner_of(Failing(FAILURES["constant"], len(rows), 99), aggregation=Mean()).learn(framed, 0)
    learner_of(Failing(FAILURES["constant"], len(rows) + 1, 99), aggregation=Mean()).learn(framed, 0)


@pytest.mark.parametrize("shuffle", [False, True])
def test_heads_whose_fits_are_alike_are_taken_good_or_useless(
    made_up_samples: MakeSamples, learner_of: MakeLearner, shuffle: bool
) -> None:
    """A head that says the same of everything in each fold, too, has figures that tell it."""
    samples, notes = made_up_samples(shuffle=shuffle), []
    for failure in FAILURES.values():
        learner_of(Failing(failure, 0, 99), note=notes.append).learn(samples, 0)
    assert notes == []


@pytest.mark.usefixtures("few_resamples")
def test_a_model_unlike_its_cross_validation_is_not_saved(
    made_up_samples: MakeSamples, learner_of: MakeLearner
) -> None:
    """Whatever made it so: here its calibration. A fine-tuned network goes the same way."""
    samples = made_up_samples()
    learner = learner_of(Failing(FAILURES["constant"], 10_000, 0))
    validation, learnt = cross_validate(learner, samples, 0, 4, 2), learner.learn(samples, 0)
    assert judged_outcome("yes", 0, learnt, validation, samples, 0).metrics["roc_auc"].value > 0.8
    flat = replace(learnt, calibration=IsotonicCalibration((0.0, 1.0), (0.4, 0.4)))
    with pytest.raises(
        TrainingRefusedError, match="yes: the model that was learnt of all patients says nearly the same"
    ):
        judged_outcome("yes", 0, flat, validation, samples, 0)
    opposite = replace(learnt, head=Failing(FAILURES["the opposite"], 0, 99).fit(_training(samples), HeadSettings(), 0))
    with pytest.raises(TrainingRefusedError, match="has an AUC of"):
        judged_outcome("yes", 0, opposite, validation, samples, 0)


def _training(samples: Samples) -> TrainingSet:
    return TrainingSet(samples.units.features, samples.targets[:, 0], samples.groups)


def test_a_fit_that_knows_its_units_better_than_others_is_of_their_kind() -> None:
    targets, folds = np.arange(60) % 2, np.arange(60) // 2 % 5
    unseen = np.random.default_rng(0).random(60)
    assert unlike(targets.astype(np.float64), unseen, targets, folds) is None
    assert unlike(np.full(60, 0.4), np.full(60, 0.4), targets, folds) is None
    assert unlike(np.full(60, 0.4), folds / 10, targets, folds) is None  # in each fold its own constant


class Yes(Task):
    """Is it there?"""

    name = "yes"
    label_columns = ("yes",)


@pytest.mark.usefixtures("few_resamples")
def test_training_saves_no_such_model(
    small_cache_of: Callable[..., Any], with_tasks: Callable[..., Any], tmp_path: Path
) -> None:
    small = small_cache_of(Yes(), n_patients=12)
    n_units = len(read_table(small.labels))
    wishes: dict[str, Any] = {"n_folds": 2, "n_repeats": 1, "site_key": small.site_key, "head": "failing"}
    with_tasks(Yes(), Failing(FAILURES["constant"], n_units, 99))
    with pytest.raises(TrainingRefusedError, match="fitted on all samples, says nearly the same of every unit"):
        train_task([Yes()], small.labels, small.cache, tmp_path / "m", **wishes)
    assert list(tmp_path.iterdir()) == []
    with_tasks(Yes(), Failing(FAILURES["constant"], n_units, 1))
    (result,) = train_task([Yes()], small.labels, small.cache, tmp_path / "m", **wishes)
    assert any("it was done again" in warning for warning in result.warnings)
