"""Figures agree with their definitions, for all units alike and for each weighting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from lusfx.metrics import (
    Statistic,
    average_precision,
    balanced_accuracy,
    brier_score,
    events,
    mean_absolute_error,
    pairs,
    quadratic_weighted_kappa,
    roc_auc,
    sensitivity,
    specificity,
    within_folds,
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


@given(scored, st.integers(0, 100))
def test_weighted_figures_of_probabilities_agree_with_scikit_learn(rows: list[tuple[int, float]], seed: int) -> None:
    targets, probabilities = arrays(rows)
    weights = np.random.default_rng(seed).random(len(rows)) + 0.01
    for statistic, rival in (
        (roc_auc, reference.roc_auc_score),
        (average_precision, reference.average_precision_score),
        (brier_score, reference.brier_score_loss),
    ):
        expected = rival(targets, probabilities, sample_weight=weights)
        assert statistic(targets, probabilities, weights) == pytest.approx(expected, abs=1e-12)


graded = st.integers(2, 5).flatmap(
    lambda n_levels: st.lists(
        st.tuples(st.integers(0, n_levels - 1), st.integers(0, n_levels - 1), st.floats(0.01, 10)),
        min_size=2,
        max_size=40,
    )
)


@settings(max_examples=50)
@given(graded)
def test_figures_of_levels_agree_with_scikit_learn(rows: list[tuple[int, int, float]]) -> None:
    levels, answers = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    weights = np.array([row[2] for row in rows])
    error = reference.mean_absolute_error(levels, answers, sample_weight=weights)
    assert mean_absolute_error(levels, answers, weights) == pytest.approx(error, abs=1e-12)
    if len(set(levels) | set(answers)) > 1:
        kappa = reference.cohen_kappa_score(
            levels, answers, labels=np.arange(5), weights="quadratic", sample_weight=weights
        )
        assert quadratic_weighted_kappa(levels, answers, weights) == pytest.approx(kappa, abs=1e-9)
    if set(answers) <= set(levels) and len(set(levels)) > 1:  # scikit-learn warns of others
        accuracy = reference.balanced_accuracy_score(levels, answers, sample_weight=weights)
        assert balanced_accuracy(levels, answers, weights) == pytest.approx(accuracy, abs=1e-12)


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


@pytest.mark.parametrize("statistic", ALL)
@given(rows=scored, seed=st.integers(0, 100))
def test_weights_count_as_repetition(statistic: Statistic, rows: list[tuple[int, float]], seed: int) -> None:
    targets, answers = arrays(rows)
    weights = np.random.default_rng(seed).integers(0, 4, len(rows))
    if statistic not in (roc_auc, average_precision, brier_score):
        answers = (answers >= 0.5).astype(np.int64)
    if len(set(targets[weights > 0])) == 2:
        repeated = statistic(np.repeat(targets, weights), np.repeat(answers, weights))
        weighted = statistic(targets, answers, weights.astype(np.float64))
        assert weighted == pytest.approx(repeated, abs=1e-9)


@given(scored, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[tuple[int, float]], random: object) -> None:
    targets, probabilities = arrays(rows)
    random.shuffle(rows)
    for statistic in (roc_auc, average_precision):
        assert statistic(*arrays(rows)) == pytest.approx(statistic(targets, probabilities), abs=1e-12)


def test_a_score_that_means_nothing_has_the_average_precision_of_the_base_rate() -> None:
    assert average_precision(np.repeat([0, 1], [30, 10]), np.full(40, 0.3)) == pytest.approx(0.25)


def test_kappa_of_perfect_of_chance_and_of_opposite_answers() -> None:
    levels = np.tile([0, 1, 2, 3], 4)
    assert quadratic_weighted_kappa(levels, levels) == 1
    assert quadratic_weighted_kappa(levels, np.repeat([0, 1, 2, 3], 4)) == pytest.approx(0)
    assert quadratic_weighted_kappa(levels, 3 - levels) == pytest.approx(-1)
    assert quadratic_weighted_kappa(levels, np.zeros(16, np.int64)) == pytest.approx(0)


@pytest.mark.parametrize("level", [0, 3])
def test_kappa_of_one_level_does_not_exist(level: int) -> None:
    assert np.isnan(quadratic_weighted_kappa(np.full(7, level), np.full(7, level), np.linspace(0.1, 0.7, 7)))


def test_levels_may_be_answered_between() -> None:
    assert mean_absolute_error(np.array([0, 2]), np.array([0.5, 1.0])) == pytest.approx(0.75)


def test_balanced_accuracy_counts_rare_classes_like_common_ones() -> None:
    targets = np.repeat([0, 1, 2], [90, 9, 1])
    assert balanced_accuracy(targets, np.zeros(100, np.int64)) == pytest.approx(1 / 3)
    answers = targets.copy()
    answers[-1] = 0
    assert balanced_accuracy(targets, answers) == pytest.approx(2 / 3)


def test_balanced_accuracy_of_a_resample_without_a_class_does_not_exist() -> None:
    targets = np.repeat([0, 1, 2], [90, 9, 1])
    assert np.isnan(balanced_accuracy(targets, targets, (targets < 2).astype(np.float64)))


@pytest.mark.parametrize("statistic", [roc_auc, average_precision])
@pytest.mark.parametrize("target", [0, 1])
def test_figures_of_ranking_of_one_class_do_not_exist(statistic: Statistic, target: int) -> None:
    scores = np.linspace(0, 1, 6)
    assert np.isnan(statistic(np.full(6, target), scores))
    both = np.repeat([0, 1], 3)
    assert np.isnan(statistic(both, scores, (both == target).astype(np.float64)))


# ---- within folds, and over repeats -----------------------------------------------------------------------------------

folded = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]) | st.floats(0, 1), st.integers(0, 3)),
    min_size=4,
    max_size=40,
)


def of_folds(rows: list[tuple[int, float, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    targets, probabilities = arrays([row[:2] for row in rows])
    return targets, probabilities, np.array([row[2] for row in rows])


@given(folded, st.integers(0, 50))
def test_the_auc_within_folds_is_the_share_of_all_pairs_within_folds_that_are_ranked_rightly(
    rows: list[tuple[int, float, int]], seed: int
) -> None:
    """By brute force, with each unit counted as often as its weight says."""
    targets, probabilities, folds = of_folds(rows)
    weights = np.random.default_rng(seed).integers(0, 3, len(rows)).astype(np.float64)
    right = compared = 0.0
    for i in np.flatnonzero(targets == 1):
        for j in np.flatnonzero((targets == 0) & (folds == folds[i])):
            right += weights[i] * weights[j] * (0.5 * np.sign(probabilities[i] - probabilities[j]) + 0.5)
            compared += weights[i] * weights[j]
    auc = within_folds(roc_auc, folds, pairs)(targets, probabilities, weights)
    assert auc == pytest.approx(right / compared if compared else np.nan, nan_ok=True)


@given(folded, st.integers(0, 50))
def test_the_average_precision_within_folds_is_a_mean_over_the_positives(
    rows: list[tuple[int, float, int]], seed: int
) -> None:
    """Of those in folds that have a negative to tell them from."""
    targets, probabilities, folds = of_folds(rows)
    weights = np.random.default_rng(seed).integers(0, 3, len(rows)).astype(np.float64)
    found = counted = 0.0
    for fold in np.unique(folds):
        here = np.repeat(np.flatnonzero(folds == fold), weights[folds == fold].astype(int))
        if len(set(targets[here].tolist())) == 2:
            n_positive = targets[here].sum()
            found += n_positive * reference.average_precision_score(targets[here], probabilities[here])
            counted += n_positive
    figure = within_folds(average_precision, folds, events)(targets, probabilities, weights)
    assert figure == pytest.approx(found / counted if counted else np.nan, nan_ok=True)


@pytest.mark.parametrize(("statistic", "importance"), [(roc_auc, pairs), (average_precision, events)])
@given(rows=scored, number=st.integers(0, 9), seed=st.integers(0, 50))
def test_within_one_fold_a_figure_is_itself(
    statistic: Statistic,
    importance: Callable[[float, float], float],
    rows: list[tuple[int, float]],
    number: int,
    seed: int,
) -> None:
    targets, probabilities = arrays(rows)
    weights = np.random.default_rng(seed).random(len(rows)) + 0.01
    within = within_folds(statistic, np.full(len(rows), number), importance)
    assert within(targets, probabilities, weights) == pytest.approx(statistic(targets, probabilities, weights))


def test_what_folds_add_to_their_scores_does_not_count() -> None:
    """One fold of three positives and a negative, scored low throughout, and one of the contrary, scored high."""
    targets = np.array([1, 1, 1, 0, 1, 0, 0, 0])
    probabilities = np.array([0.2, 0.2, 0.2, 0.1, 0.9, 0.8, 0.8, 0.8])
    folds = np.repeat([0, 1], 4)
    assert roc_auc(targets, probabilities) < 0.5
    assert within_folds(roc_auc, folds, pairs)(targets, probabilities) == 1
    assert average_precision(targets, probabilities) < 1
    assert within_folds(average_precision, folds, events)(targets, probabilities) == 1


def test_folds_of_one_class_are_left_out() -> None:
    targets, folds = np.array([1, 1, 0, 1, 0]), np.array([0, 0, 1, 2, 2])
    probabilities = np.array([0.1, 0.1, 0.9, 0.7, 0.3])
    assert within_folds(roc_auc, folds, pairs)(targets, probabilities) == 1
    assert within_folds(average_precision, folds, events)(targets, probabilities) == 1
    no_two = within_folds(roc_auc, folds, pairs)
    assert np.isnan(
        no_two(targets, probabilities, np.array([1.0, 1, 1, 1, 0]))
    )  # the last fold's only no was not drawn


def test_how_much_a_fold_counts() -> None:
    assert pairs(3, 4) == 12
    assert events(3, 4) == 3
    assert pairs(3, 0) == pairs(0, 3) == events(3, 0) == events(0, 3) == 0
