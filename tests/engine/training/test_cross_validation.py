"""Cross-validation judges the whole procedure: nothing that it chose has seen a patient that it is judged on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import UNKNOWN, MinSensitivity, Youden
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.cross_validation import FoldPlace, cross_validate, cross_validate_together
from lusfx.engine.training.learner import Learner
from lusfx.errors import LeakError
from lusfx.heads import lusfx_register_heads
from lusfx.metrics import pairs, patient_bootstrap, roc_auc, within_folds
from lusfx.splits import Fold

MakeSamples = Callable[..., Samples]
MakeLearner = Callable[..., Learner]
LOGISTIC = next(spec for spec in lusfx_register_heads() if spec.name == "logistic")
SIGNAL, NOISE = 1, 2
"""Columns of made-up samples."""


def test_nothing_that_is_chosen_for_a_fold_has_seen_its_patients(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    """Neither in a fit nor in a score that a calibration, a threshold or a choice of candidate rests on. Only the last
    score of each fold, by the head that was fitted last, is of the patients that the fold is judged on.
    """
    samples = made_up_samples()
    marks: list[int] = []
    learner = learner_of((spy, {"column": NOISE}), (spy, {"column": SIGNAL}))
    validation = cross_validate(learner, samples, 0, 4, 2, lambda place: marks.append(len(spy.log)))
    assert len(marks) == 8
    everybody = set(range(20))
    patients = samples.units.features[:, 0].astype(int)
    for phase, (start, end) in enumerate(zip(marks, [*marks[1:], len(spy.log)], strict=True)):
        repeat, fold = divmod(phase, 4)
        tested = set(patients[validation.folds[repeat] == fold].tolist())
        assert 0 < len(tested) < 20
        *choosing, looked_at, last = spy.log[start:end]
        assert looked_at == (
            "score",
            everybody - tested,
            everybody - tested,
        )  # the head that is kept, on its own patients
        assert last == ("score", everybody - tested, tested)
        assert len([what for what, _, _ in choosing if what == "score"]) == 10  # five inner folds for two candidates
        for _, learnt_from, asked in choosing:
            assert not tested & learnt_from
            assert not tested & asked
            assert not learnt_from & asked


def test_every_unit_is_judged_once_a_repeat_and_folds_differ_between_repeats(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    samples = made_up_samples()
    begun: list[FoldPlace] = []
    validation = cross_validate(learner_of(spy), samples, 0, 5, 3, begun.append)
    assert validation.probabilities.shape == validation.folds.shape == (3, 60)
    assert np.isfinite(validation.probabilities).all()
    assert validation.rows.tolist() == list(range(60))
    for folds in validation.folds:
        assert set(folds.tolist()) == set(range(5))
        for patient in np.unique(samples.groups):
            assert len(set(folds[samples.groups == patient].tolist())) == 1
    partitions = {
        frozenset(frozenset(np.flatnonzero(folds == fold).tolist()) for fold in range(5)) for folds in validation.folds
    }
    assert len(partitions) == 3
    assert str(begun[0]) == "repeat 1 of 3, fold 1 of 5"
    assert begun[-1] == FoldPlace(repeat=3, n_repeats=3, fold=5, n_folds=5)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures_and_another_seed_other_folds(
    made_up_samples: MakeSamples, learner_of: MakeLearner
) -> None:
    samples = made_up_samples()
    one, same, other = (cross_validate(learner_of(LOGISTIC, seed=seed), samples, 0, 3, 2) for seed in (0, 0, 1))
    assert one.probabilities.tolist() == same.probabilities.tolist()
    assert one.folds.tolist() == same.folds.tolist()
    assert one.folds.tolist() != other.folds.tolist()


def test_answers_are_by_the_threshold_that_the_fold_s_own_procedure_chose(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    samples = made_up_samples(signal=1.0)
    rules = {"balanced": Youden(), "screen": MinSensitivity(0.9)}
    learner = learner_of(spy, operating_points=rules)
    validation = cross_validate(learner, samples, 0, 4, 2)
    different = set()
    for repeat in range(2):
        for fold in range(4):
            tested = validation.folds[repeat] == fold
            learnt = learner.learn(samples.take(np.flatnonzero(~tested)), 0)
            assert learnt.probabilities(samples.units)[tested] == pytest.approx(
                validation.probabilities[repeat, tested]
            )
            for name, threshold in learnt.thresholds.items():
                answers = validation.probabilities[repeat, tested] >= threshold
                assert validation.answers[name][repeat, tested].tolist() == answers.tolist()
                different.add(threshold)
    assert len(different) > 8  # no one threshold for all


def test_what_each_fold_chose_is_written_down(made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any) -> None:
    learner = learner_of((spy, {"column": NOISE}), (spy, {"column": SIGNAL}))
    validation = cross_validate(learner, made_up_samples(signal=3.0), 0, 3, 2)
    assert validation.chosen == [["spy"] * 3] * 2


def test_units_whose_answer_is_not_known_take_no_part(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    samples = made_up_samples()
    targets = samples.targets.copy()
    targets[::7] = UNKNOWN
    validation = cross_validate(learner_of(spy), replace(samples, targets=targets), 0, 3, 1)
    assert validation.rows.tolist() == [row for row in range(60) if row % 7]
    assert validation.probabilities.shape == (1, len(validation.rows))


def test_outcomes_that_are_judged_together_share_their_folds(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    """Units that answer neither outcome take no part; each outcome has the figures of the units that answer it."""
    samples = made_up_samples()
    second = np.roll(samples.targets[:, 0], 3)
    second[::5] = UNKNOWN
    targets = np.stack([samples.targets[:, 0], second], axis=1)
    targets[50] = UNKNOWN
    samples = replace(samples, targets=targets)
    one, other = cross_validate_together(learner_of(spy), samples, [0, 1], 4, 2)
    assert one.rows.tolist() == samples.known(0).tolist()
    assert other.rows.tolist() == samples.known(1).tolist()
    assert one.folds[:, np.isin(one.rows, other.rows)].tolist() == other.folds.tolist()
    assert one.folds[0].tolist() != one.folds[1].tolist()
    assert np.isfinite(one.probabilities).all()
    assert np.isfinite(other.probabilities).all()
    assert other.chosen == [["spy"] * 4] * 2


def test_one_outcome_alone_has_the_folds_of_its_own(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    """So that what is fine-tuned and what is trained on cached features are judged on the same splits."""
    samples = made_up_samples()
    (together,) = cross_validate_together(learner_of(spy), samples, [0], 4, 2)
    alone = cross_validate(learner_of(spy), samples, 0, 4, 2)
    assert together.folds.tolist() == alone.folds.tolist()


def test_a_patient_or_a_content_on_both_sides_is_a_leak(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the folds ever made wrongly, no figure would come of them."""
    samples = made_up_samples()
    rows = np.arange(60)
    monkeypatch.setattr(
        "lusfx.engine.training.cross_validation.patient_folds",
        lambda *arguments: [Fold(rows[1:], rows[:1]), Fold(rows[:1], rows[1:])],
    )
    with pytest.raises(LeakError, match="1 patient stands on both sides"):
        cross_validate(learner_of(spy), samples, 0, 2, 1)
    alone = replace(samples, groups=np.array([f"p-{row}" for row in rows]), keys=np.full(60, "same-content"))
    with pytest.raises(LeakError, match="1 clip of the same content stands on both sides"):
        cross_validate(learner_of(spy), alone, 0, 2, 1)
    assert spy.heads == []


def test_folds_within_a_training_side_are_checked_for_leaks_too(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lusfx.engine.training.learner.inner_folds",
        lambda targets, *arguments: [Fold(np.arange(1, len(targets)), np.array([0]))],
    )
    with pytest.raises(LeakError, match=r"stands? on both sides"):
        cross_validate(learner_of(spy), made_up_samples(), 0, 2, 1)
    assert spy.heads == []


@pytest.mark.slow
def test_labels_that_mean_nothing_are_not_learnt(made_up_samples: MakeSamples, learner_of: MakeLearner) -> None:
    """Answers drawn by lot for each patient, a hundred draws of thirty patients with three units each.

    The mean AUC is 0.5 within chance: over draws it has a standard deviation of about 0.13, so the mean of a hundred one of
    0.013, and 0.04 is three of them.

    Intervals cover 0.5 less often than the 95% that they are named for: they hold the chance of which patients were judged,
    and not of which the heads were trained on. With labels that mean nothing the two are alike: a patient who pulls a head
    one way is also judged by the heads of others, and their shares of the AUC are one and the same. The variance is then
    twice the interval's, which covers 2 Phi(1.96 / sqrt 2) - 1 = 83%. Of a hundred draws at that rate fewer than 72 are
    covered in one series of seven hundred; heads that had seen the patients they are judged on would leave hardly any.
    """
    learner = learner_of(LOGISTIC)
    figures, covered = [], 0
    for draw in range(100):
        samples = made_up_samples(n_patients=30, signal=0.0, dim=12, seed=draw, shuffle=True)
        samples.units.features[:, 0] = 0  # the patient's number, whose parity would tell the answers before the draw
        validation = cross_validate(learner, samples, 0, 5, 1)
        targets = samples.targets[:, 0]
        within = [within_folds(roc_auc, folds, pairs) for folds in validation.folds]
        interval = patient_bootstrap(
            within, targets, validation.probabilities, samples.groups, seed=draw, n_resamples=300
        )
        figures.append(interval.value)
        covered += interval.low <= 0.5 <= interval.high
    assert np.mean(figures) == pytest.approx(0.5, abs=0.04)
    assert covered >= 72


def test_pooled_over_folds_scores_that_mean_nothing_would_rank_below_chance(
    made_up_samples: MakeSamples, learner_of: MakeLearner
) -> None:
    """Why figures of ranking are taken within folds.

    A head that knows nothing answers with the share of yes on its training side, which is low exactly where the share of
    yes on the side it is judged on is high. Here each of five folds gets one of five patients with yes, who have from one
    to sixteen units.
    """
    samples = made_up_samples(n_patients=40, units_per_patient=16)
    patient, unit = np.divmod(np.arange(len(samples)), 16)
    n_units = np.where(np.arange(40) % 2, 0, 4)  # twenty patients with no
    n_units[[1, 3, 5, 7, 9]] = 1, 2, 4, 8, 16
    samples = samples.take(np.flatnonzero(unit < n_units[patient]))
    samples.units.features[:, :] = 0
    for seed in range(3):
        validation = cross_validate(learner_of(LOGISTIC, seed=seed), samples, 0, 5, 1)
        targets, probabilities = samples.targets[:, 0], validation.probabilities[0]
        assert roc_auc(targets, probabilities) < 0.35
        assert within_folds(roc_auc, validation.folds[0], pairs)(targets, probabilities) == pytest.approx(0.5)
