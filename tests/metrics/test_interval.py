"""Intervals resample patients, cover what they say, and are the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.metrics import (
    Interval,
    Statistic,
    average_precision,
    balanced_accuracy,
    brier_score,
    events,
    mean_absolute_error,
    pairs,
    patient_bootstrap,
    performance,
    quadratic_weighted_kappa,
    roc_auc,
    sensitivity,
    specificity,
    summary,
    within_folds,
)

ALL = (
    roc_auc,
    average_precision,
    brier_score,
    sensitivity,
    specificity,
    mean_absolute_error,
    quadratic_weighted_kappa,
    balanced_accuracy,
)


def test_patients_are_resampled_and_not_clips() -> None:
    """Twenty copies of each patient's clip say no more than one."""
    generator = np.random.default_rng(0)
    targets = np.tile([0, 1], 20)
    probabilities = generator.random(40) * 0.5 + targets * 0.2
    groups = np.array([f"p-{i}" for i in range(40)])
    once = patient_bootstrap(roc_auc, targets, probabilities, groups, seed=1)
    often = patient_bootstrap(roc_auc, np.tile(targets, 20), np.tile(probabilities, 20), np.tile(groups, 20), seed=1)
    assert often.value == pytest.approx(once.value)
    assert (often.low, often.high) == pytest.approx((once.low, once.high), abs=1e-9)


def test_intervals_are_the_same_for_the_same_seed() -> None:
    generator = np.random.default_rng(0)
    targets, probabilities = generator.integers(0, 2, 50), generator.random(50)
    groups = np.array([f"p-{i // 2}" for i in range(50)])
    one, other = (patient_bootstrap(roc_auc, targets, probabilities, groups, seed=3) for _ in range(2))
    assert one == other
    assert one.low < one.value < one.high


@pytest.mark.parametrize("statistic", ALL)
def test_a_resample_is_a_table_of_the_drawn_patients_clips(statistic: Statistic) -> None:
    """The interval against one of which each resample is written out and judged from the start."""
    generator = np.random.default_rng(0)
    targets, groups = generator.integers(0, 2, 60), np.array([f"p-{i // 3:02}" for i in range(60)])
    answers = np.round(generator.random(60), 1)
    if statistic not in (roc_auc, average_precision, brier_score):
        answers = np.round(answers)
    interval = patient_bootstrap(statistic, targets, answers, groups, seed=7, n_resamples=50)
    generator, values = np.random.default_rng(7), []
    for _ in range(50):
        drawn = generator.integers(0, 20, 20)
        rows = np.concatenate([np.nonzero(groups == f"p-{patient:02}")[0] for patient in drawn])
        values.append(statistic(targets[rows], answers[rows]))
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    assert interval.n_resamples == 50


def test_resamples_of_one_class_are_left_out_and_counted() -> None:
    targets, groups = np.array([0, 0, 1]), np.array(["a", "b", "c"])
    interval = patient_bootstrap(roc_auc, targets, np.array([0.1, 0.6, 0.5]), groups, seed=0, n_resamples=400)
    # All but those without c, (2/3)^3, and those of c alone, (1/3)^3.
    assert interval.n_resamples == pytest.approx(400 * 2 / 3, abs=40)
    nothing = patient_bootstrap(
        roc_auc, np.zeros(3, np.int64), np.array([0.1, 0.6, 0.5]), groups, seed=0, n_resamples=9
    )
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()
    assert nothing.n_resamples == 0
    assert nothing.as_dict().keys() == {"value", "low", "high", "level", "n_resamples"}


def test_a_statistic_is_prepared_once_for_all_resamples() -> None:
    prepared = []

    @Statistic
    def counted(targets: np.ndarray, answers: np.ndarray):
        prepared.append(len(targets))
        return lambda weights: float(weights.sum())

    groups = np.array(list("aabbc"))
    patient_bootstrap([counted] * 3, np.zeros(5, np.int64), np.zeros((3, 5)), groups, seed=0, n_resamples=100)
    assert prepared == [5, 5, 5]


@pytest.mark.slow
def test_intervals_of_scores_that_know_nothing_cover_one_half() -> None:
    """120 draws: coverage of a 95% interval lies between 88% and 100% but for one time in a thousand."""
    generator = np.random.default_rng(0)
    groups = np.array([f"p-{i // 4}" for i in range(160)])
    covered = 0
    for draw in range(120):
        patient_effect = np.repeat(generator.normal(size=40), 4)
        probabilities = 1 / (1 + np.exp(-(patient_effect + generator.normal(size=160))))
        targets = np.repeat(generator.integers(0, 2, 40), 4)
        interval = patient_bootstrap(roc_auc, targets, probabilities, groups, seed=draw, n_resamples=300)
        covered += interval.low <= 0.5 <= interval.high
    assert 0.88 <= covered / 120 <= 1.0


def test_figures_of_repeats_are_averaged() -> None:
    generator = np.random.default_rng(0)
    targets, repeats = generator.integers(0, 2, 60), generator.random((3, 60))
    groups = np.array([f"p-{i // 3}" for i in range(60)])
    result = summary(targets, repeats, groups, seed=0)
    assert list(result) == ["roc_auc", "average_precision", "brier_score"]
    assert result["roc_auc"].value == pytest.approx(np.mean([roc_auc(targets, repeat) for repeat in repeats]))
    assert result["brier_score"].value == pytest.approx(np.mean([brier_score(targets, repeat) for repeat in repeats]))
    one = summary(targets, repeats[0], groups, seed=0)["roc_auc"]
    same = summary(targets, repeats[[0, 0]], groups, seed=0)["roc_auc"]
    assert (one.low, one.high) == pytest.approx((same.low, same.high), abs=0.02)  # other resamples


def test_an_interval_of_repeats_holds_the_chance_of_the_split() -> None:
    """Repeats that differ widen the interval, where the mean of their figures would narrow it."""
    targets = np.tile([0, 1], 30)
    groups = np.array([f"p-{i // 2:02}" for i in range(60)])
    right, wrong = targets.astype(np.float64), 1.0 - targets
    interval = patient_bootstrap([roc_auc] * 2, targets, np.stack([right, wrong]), groups, seed=0, n_resamples=100)
    assert (interval.value, interval.low, interval.high) == (0.5, 0.0, 1.0)
    with pytest.raises(ValueError):
        patient_bootstrap([roc_auc], targets, np.stack([right, wrong]), groups, seed=0, n_resamples=10)


def test_performance_at_fixed_answers() -> None:
    targets = np.array([0, 0, 0, 1, 1, 1])
    answers = np.array([False, False, True, True, True, False])
    groups = np.array(list("abcdef"))
    result = performance(targets, answers, groups, seed=0, n_resamples=200)
    assert result.sensitivity.value == pytest.approx(2 / 3)
    assert result.specificity.value == pytest.approx(2 / 3)
    assert result.sensitivity.low < 2 / 3 < result.sensitivity.high


def test_ranking_is_judged_within_folds_and_the_rest_over_all() -> None:
    generator = np.random.default_rng(0)
    targets, repeats = generator.integers(0, 2, 60), generator.random((2, 60))
    folds = np.stack([np.arange(60) // 3 % 4, np.arange(60) // 3 % 5])
    groups = np.array([f"p-{i // 3:02}" for i in range(60)])
    result = summary(targets, repeats, groups, seed=0, folds=folds)
    expected = {
        "roc_auc": [within_folds(roc_auc, fold, pairs) for fold in folds],
        "average_precision": [within_folds(average_precision, fold, events) for fold in folds],
        "brier_score": [brier_score, brier_score],
    }
    assert list(result) == list(expected)
    for name, statistics in expected.items():
        assert result[name] == patient_bootstrap(statistics, targets, repeats, groups, seed=0)
    one_head = summary(targets, repeats, groups, seed=0, folds=np.zeros((2, 60), np.int64))
    assert one_head == summary(targets, repeats, groups, seed=0)


def test_an_interval_within_folds_resamples_patients_and_leaves_them_in_their_folds() -> None:
    """Against one of which each resample is written out, and judged fold by fold."""
    generator = np.random.default_rng(0)
    targets, probabilities = generator.integers(0, 2, 60), np.round(generator.random(60), 1)
    groups, folds = np.array([f"p-{i // 3:02}" for i in range(60)]), np.arange(60) // 3 % 4
    auc = within_folds(roc_auc, folds, pairs)
    interval = patient_bootstrap(auc, targets, probabilities, groups, seed=7, n_resamples=50)
    generator, values = np.random.default_rng(7), []
    for _ in range(50):
        drawn = generator.integers(0, 20, 20)
        rows = np.concatenate([np.nonzero(groups == f"p-{patient:02}")[0] for patient in drawn])
        values.append(within_folds(roc_auc, folds[rows], pairs)(targets[rows], probabilities[rows]))
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))


def test_nothing_has_no_figures_and_no_intervals() -> None:
    """An outcome that no unit of a table answers."""
    nothing = summary(np.empty(0, np.int64), np.empty(0), np.empty(0, np.str_), seed=0)
    assert np.isnan([figure.value for figure in nothing.values()]).all()
    assert {figure.n_resamples for figure in nothing.values()} == {0}


def test_performance_of_repeats_is_averaged() -> None:
    targets, groups = np.array([0, 0, 1, 1]), np.array(list("abcd"))
    answers = np.array([[False, False, True, True], [True, False, True, False]])
    result = performance(targets, answers, groups, seed=0, n_resamples=50)
    assert (result.sensitivity.value, result.specificity.value) == (0.75, 0.75)
    assert result.as_dict().keys() == {"sensitivity", "specificity"}


def test_an_interval_reads_as_people_write_it() -> None:
    assert str(Interval(0.8, 0.7, 0.9)) == "0.800 (0.700 to 0.900)"
