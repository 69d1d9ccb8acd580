"""Figures agree with their definitions, and intervals cover what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from lusfx.contracts import MinSensitivity, MinSpecificity, Youden
from lusfx.metrics import (
    brier_score,
    calibration_bins,
    choose_threshold,
    patient_bootstrap,
    performance,
    roc_auc,
    roc_points,
    sensitivity,
    specificity,
    summary,
)

scored = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.50001, 0.9, 1.0]) | st.floats(0, 1)),
    min_size=4,
    max_size=60,
).filter(lambda rows: len({target for target, _ in rows}) == 2)


def arrays(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([target for target, _ in rows]), np.array([probability for _, probability in rows])


@given(scored)
def test_auc_and_brier_agree_with_scikit_learn(rows: list[tuple[int, float]]) -> None:
    targets, probabilities = arrays(rows)
    assert roc_auc(targets, probabilities) == pytest.approx(reference.roc_auc_score(targets, probabilities), abs=1e-12)
    assert brier_score(targets, probabilities) == pytest.approx(reference.brier_score_loss(targets, probabilities))


@given(scored)
def test_weights_count_as_repetition(rows: list[tuple[int, float]]) -> None:
    targets, probabilities = arrays(rows)
    weights = np.arange(len(rows)) % 3
    if len(set(targets[weights > 0])) == 2:
        repeated = roc_auc(np.repeat(targets, weights), np.repeat(probabilities, weights))
        assert roc_auc(targets, probabilities, weights.astype(float)) == pytest.approx(repeated, abs=1e-12)


@given(scored)
def test_the_area_under_the_drawn_curve_is_the_auc(rows: list[tuple[int, float]]) -> None:
    targets, probabilities = arrays(rows)
    false_rate, true_rate = roc_points(targets, probabilities)
    assert np.trapezoid(true_rate, false_rate) == pytest.approx(roc_auc(targets, probabilities), abs=1e-12)


def test_auc_of_one_class_does_not_exist() -> None:
    assert np.isnan(roc_auc(np.zeros(5, np.int64), np.linspace(0, 1, 5)))


@given(scored, st.sampled_from([0.0, 0.5, 0.8, 0.95, 1.0]))
def test_minimum_rules_keep_their_promise_and_give_no_more_away(rows: list[tuple[int, float]], least: float) -> None:
    targets, probabilities = arrays(rows)

    def reached(threshold: float) -> tuple[float, float]:
        return sensitivity(targets, probabilities >= threshold), specificity(targets, probabilities >= threshold)

    candidates = [0.0, *np.unique(probabilities), 1.1]
    threshold = choose_threshold(MinSensitivity(least), targets, probabilities)
    assert reached(threshold)[0] >= least - 1e-9
    best = max(spec for sens, spec in map(reached, candidates) if sens >= least - 1e-9)
    assert reached(threshold)[1] == pytest.approx(best)
    threshold = choose_threshold(MinSpecificity(least), targets, probabilities)
    assert reached(threshold)[1] >= least - 1e-9
    best = max(sens for sens, spec in map(reached, candidates) if spec >= least - 1e-9)
    assert reached(threshold)[0] == pytest.approx(best)
    threshold = choose_threshold(Youden(), targets, probabilities)
    assert sum(reached(threshold)) == pytest.approx(max(sum(reached(c)) for c in candidates))


def test_a_threshold_stands_between_scores() -> None:
    targets, probabilities = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.8])
    assert choose_threshold(Youden(), targets, probabilities) == pytest.approx(0.4)


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
    assert result["roc_auc"].value == pytest.approx(np.mean([roc_auc(targets, repeat) for repeat in repeats]))
    assert result["brier_score"].value == pytest.approx(np.mean([brier_score(targets, repeat) for repeat in repeats]))
    one = summary(targets, repeats[0], groups, seed=0)["roc_auc"]
    same = summary(targets, repeats[[0, 0]], groups, seed=0)["roc_auc"]
    assert (one.low, one.high) == pytest.approx((same.low, same.high))


def test_performance_at_fixed_answers() -> None:
    targets = np.array([0, 0, 0, 1, 1, 1])
    answers = np.array([False, False, True, True, True, False])
    groups = np.array(list("abcdef"))
    result = performance(targets, answers, groups, seed=0, n_resamples=200)
    assert result.sensitivity.value == pytest.approx(2 / 3)
    assert result.specificity.value == pytest.approx(2 / 3)
    assert result.sensitivity.low < 2 / 3 < result.sensitivity.high


@settings(max_examples=30)
@given(scored)
def test_calibration_bins_hold_every_clip_once(rows: list[tuple[int, float]]) -> None:
    targets, probabilities = arrays(rows)
    bins = calibration_bins(targets, probabilities)
    assert sum(point.n_clips for point in bins) == len(targets)
    assert [point.predicted for point in bins] == sorted(point.predicted for point in bins)
    assert all(point.low - 1e-9 <= point.observed <= point.high + 1e-9 for point in bins)
