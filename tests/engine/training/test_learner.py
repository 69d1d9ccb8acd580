"""An outcome is learnt so that everything about its head is chosen on patients that the head in question never saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lusfx.calibration import LEAST_SLOPE, PlattCalibration, fit_calibration
from lusfx.contracts import Bags, Head, HeadSettings, HeadSpec, MinSensitivity, NoisyOr, TrainingSet, Youden
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.learner import Candidate, Learner
from lusfx.errors import MissingExtraError, TrainingRefusedError
from lusfx.heads import lusfx_register_heads
from lusfx.metrics import choose_threshold, pairs, roc_auc, within_folds
from lusfx.splits import inner_folds
from lusfx.task_model import UnitFeatures

MakeSamples = Callable[..., Samples]
MakeLearner = Callable[..., Learner]
SIGNAL, NOISE = 1, 2
"""Columns of made-up samples."""
HEADS = {spec.name: spec for spec in lusfx_register_heads()}


class Forgetful(HeadSpec):
    """Says of a row that it was fitted on what its answer is, and of any other one half and a little noise."""

    name = "forgetful"
    summary = "knows by heart what it saw, and nothing else"
    settings = HeadSettings

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
        assert isinstance(training.features, np.ndarray)
        answers = dict(zip(map(bytes, training.features), training.targets.tolist(), strict=True))

        class ByHeart(Head):
            def predict_proba(self, features: Any) -> np.ndarray:
                yes = np.array([answers.get(bytes(row), 0.5 + 0.01 * np.tanh(row[NOISE])) for row in features])
                return np.stack([1 - yes, yes], axis=1)

            def files(self) -> Mapping[str, bytes]:
                return {}

        return ByHeart()

    def load(self, files: Mapping[str, bytes]) -> Head:
        raise NotImplementedError


class NeedsTorch(HeadSpec):
    """A head that cannot be trained here."""

    name = "needs-torch"
    summary = "needs torch"
    settings = HeadSettings

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
        raise MissingExtraError("training this head", "train")

    def load(self, files: Mapping[str, bytes]) -> Head:
        raise NotImplementedError


def test_each_row_is_scored_by_a_head_that_never_saw_its_patient(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    samples = made_up_samples()
    learner_of(spy).learn(samples, 0)
    everybody = set(range(20))
    *scored, last = [(learnt_from, asked) for what, learnt_from, asked in spy.log if what == "score"]
    assert last == (everybody, everybody)  # which tells whether the head that is kept is like the others
    assert len(scored) == 5
    assert sorted(patient for _, asked in scored for patient in asked) == sorted(everybody)
    assert all(learnt_from == everybody - asked for learnt_from, asked in scored)
    assert spy.heads[-1].learnt_from == everybody  # the head that is kept


def test_calibration_and_thresholds_are_those_of_the_out_of_fold_scores(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    """The spy scores alike whatever it was fitted on, so that they can be had without folds."""
    samples = made_up_samples()
    rules = {"balanced": Youden(), "screen": MinSensitivity(0.9)}
    learnt = learner_of(spy, operating_points=rules).learn(samples, 0)
    targets = samples.targets[:, 0]
    scores = 1 / (1 + np.exp(-samples.units.features[:, SIGNAL].astype(np.float64)))
    fold_of = np.zeros(len(samples), np.int64)
    for number, fold in enumerate(inner_folds(targets, samples.groups, 5, 0)):
        fold_of[fold.test] = number
    expected = fit_calibration("platt", scores, targets, samples.weights, fold_of)
    assert expected is not None
    assert learnt.calibration == expected
    assert learnt.thresholds == {
        name: choose_threshold(rule, targets, expected(scores)) for name, rule in rules.items()
    }
    assert learnt.probabilities(samples.units) == pytest.approx(expected(scores))
    assert learnt.merits == {}


def test_what_was_learnt_by_heart_is_not_mistaken_for_knowledge(
    made_up_samples: MakeSamples, learner_of: MakeLearner
) -> None:
    """A head that knows its own rows and nothing else gets a calibration that says so, and a threshold that is not 1."""
    samples = made_up_samples(n_patients=60, signal=0.0)
    learnt = learner_of(Forgetful()).learn(samples, 0)
    assert isinstance(learnt.calibration, PlattCalibration)
    by_heart = learnt.probabilities(samples.units)
    # All rows are known to the head that is kept, yet no probability claims what its scores of 0 and 1 would.
    of_others = made_up_samples(n_patients=60, signal=0.0, seed=1).units
    spread = learnt.probabilities(of_others).std()
    assert spread < 0.1
    assert roc_auc(samples.targets[:, 0], by_heart) == 1
    merits = learner_of(Forgetful(), HEADS["logistic"]).learn(samples, 0).merits
    assert merits["forgetful"] == pytest.approx(0.5, abs=0.15)


def test_scores_are_calibrated_by_their_weights_and_within_folds(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Any, ...]] = []

    def noted(*arguments: Any) -> Any:
        given.append(arguments)
        return fit_calibration(*arguments)

    monkeypatch.setattr("lusfx.engine.training.learner.fit_calibration", noted)
    samples = made_up_samples()
    weights = np.linspace(0.5, 1, len(samples))
    learner_of(spy).learn(replace(samples, weights=weights), 0)
    ((method, _, _, counts, fold_of),) = given
    assert method == "platt"
    assert counts.tolist() == weights.tolist()
    for fold in np.unique(fold_of):
        assert not set(samples.groups[fold_of == fold]) & set(samples.groups[fold_of != fold])
    assert len(np.unique(fold_of)) == 5


def test_no_calibration_leaves_scores_as_they_are(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    samples = made_up_samples()
    learnt = learner_of(spy, calibration="none").learn(samples, 0)
    assert learnt.calibration is None
    assert learnt.probabilities(samples.units) == pytest.approx(learnt.head.predict_proba(samples.units.features)[:, 1])


# ---- search -----------------------------------------------------------------------------------------------------------


def test_a_search_takes_the_candidate_that_ranks_best_within_folds(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    samples = made_up_samples()
    learner = learner_of((spy, {"column": NOISE}), (spy, {"column": SIGNAL}), (spy, {"column": SIGNAL, "sign": -1}))
    learnt = learner.learn(samples, 0)
    assert str(learnt.candidate) == "spy"
    assert learnt.head.settings.column == SIGNAL
    assert list(learnt.merits) == ["spy column=2", "spy", "spy sign=-1.0"]
    targets = samples.targets[:, 0]
    fold_of = np.zeros(len(samples), np.int64)
    for number, fold in enumerate(inner_folds(targets, samples.groups, 5, 0)):
        fold_of[fold.test] = number
    within = within_folds(roc_auc, fold_of, pairs)
    for name, column, sign in (("spy column=2", NOISE, 1), ("spy", SIGNAL, 1), ("spy sign=-1.0", SIGNAL, -1)):
        expected = within(targets, sign * samples.units.features[:, column])
        assert learnt.merits[name] == pytest.approx(expected)


def test_of_candidates_that_are_equally_good_the_first_is_kept(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    """The default settings stand first, and are not given up for nothing."""
    samples = made_up_samples()
    learnt = learner_of((spy, {"sign": 2}), (spy, {"sign": 3}), (spy, {})).learn(samples, 0)
    assert str(learnt.candidate) == "spy sign=2.0"
    assert len(set(learnt.merits.values())) == 1


def test_a_candidate_that_lacks_packages_is_left_out_with_a_note(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    notes: list[str] = []
    learnt = learner_of(NeedsTorch(), spy, NeedsTorch(), note=notes.append).learn(made_up_samples(), 0)
    assert str(learnt.candidate) == "spy"
    assert list(learnt.merits) == ["spy"]
    assert len(notes) == 2
    assert "needs-torch is left out" in notes[0]
    assert "lusfx[train]" in notes[0]


def test_without_any_candidate_that_can_be_trained_it_is_refused(
    made_up_samples: MakeSamples, learner_of: MakeLearner
) -> None:
    with pytest.raises(TrainingRefusedError, match="none of the candidate heads can be trained"):
        learner_of(NeedsTorch(), NeedsTorch()).learn(made_up_samples(), 0)
    with pytest.raises(MissingExtraError, match=r"lusfx\[train\]"):  # the only one: its own words say what to do
        learner_of(NeedsTorch()).learn(made_up_samples(), 0)


def test_too_few_patients_to_hold_any_out_are_refused(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    with pytest.raises(TrainingRefusedError, match="holding out patients needs two of each class"):
        learner_of(spy).learn(made_up_samples(n_patients=3), 0)
    learner_of(spy).learn(made_up_samples(n_patients=4), 0)  # two folds, then
    assert len({tuple(sorted(asked)) for what, learnt, asked in spy.log if what == "score" and asked != learnt}) == 2


# ---- what heads are given ---------------------------------------------------------------------------------------------


def in_bags(samples: Samples, sizes: list[int]) -> Samples:
    """Each unit as a bag of its own row, as often as its turn among the sizes says."""
    rows = samples.units.features
    assert isinstance(rows, np.ndarray)
    counts = np.resize(sizes, len(rows))
    bags = Bags.of([np.repeat(row[None], count, axis=0) for row, count in zip(rows, counts, strict=True)])
    durations = [np.full(count, 0.1) for count in counts]
    return replace(samples, units=UnitFeatures(bags, samples.units.centres, durations))


def test_an_aggregation_lets_heads_learn_from_frames_that_share_their_clip_s_weight(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    samples = in_bags(made_up_samples(), [1, 5, 40])
    weights = np.linspace(0.5, 1, len(samples))
    learnt = learner_of(spy, aggregation=NoisyOr(), frames_per_unit=8).learn(replace(samples, weights=weights), 0)
    training = spy.heads[-1].training
    assert isinstance(training.features, np.ndarray)
    assert training.features.dtype == np.float32
    counts = np.minimum(np.resize([1, 5, 40], len(samples)), 8)
    assert len(training.features) == counts.sum()
    unit_of_row = np.repeat(np.arange(len(samples)), counts)
    assert training.targets.tolist() == samples.targets[unit_of_row, 0].tolist()
    assert training.groups.tolist() == samples.groups[unit_of_row].tolist()
    assert np.bincount(unit_of_row, training.weights) == pytest.approx(weights)
    # Scores are the aggregation's over all frames, not the sampled ones alone.
    assert learnt.aggregation is not None
    row = samples.units.features[2]
    p = learnt.head.predict_proba(row)[:, 1]
    assert isinstance(learnt.calibration, PlattCalibration)
    raw = np.array([NoisyOr()(p, np.full(40, 0.1))])
    assert learnt.probabilities(samples.units.take(np.array([2]))) == pytest.approx(learnt.calibration(raw), abs=1e-6)


def test_heads_that_take_bags_get_them_whole(made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any) -> None:
    samples = in_bags(made_up_samples(), [1, 5])

    class Whole(type(spy)):
        takes = "bags"

        def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
            assert isinstance(training.features, Bags)
            assert set(training.features.sizes.tolist()) == {1, 5}
            raise TrainingRefusedError("seen")

    with pytest.raises(TrainingRefusedError, match="seen"):
        learner_of(Whole()).learn(samples, 0)


@pytest.mark.parametrize("name", ["logistic", "lightgbm"])
def test_built_in_heads_are_learnt_and_know_something(
    made_up_samples: MakeSamples, learner_of: MakeLearner, name: str
) -> None:
    learnt = learner_of(HEADS[name]).learn(made_up_samples(n_patients=40), 0)
    others = made_up_samples(n_patients=40, seed=1)
    assert roc_auc(others.targets[:, 0], learnt.probabilities(others.units)) > 0.8
    assert isinstance(learnt.calibration, PlattCalibration)
    assert learnt.calibration.slope > LEAST_SLOPE


def test_a_candidate_is_named_with_what_is_not_default() -> None:
    spec = HEADS["logistic"]
    assert str(Candidate(spec, spec.settings())) == "logistic"
    assert str(Candidate(spec, spec.settings.model_validate({"logit_variance": 8}))) == "logistic logit_variance=8.0"
