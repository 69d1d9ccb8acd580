"""Figures agree with their definitions, and intervals cover what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from lusfx.contracts import MinSensitivity, MinSpecificity, Youden
from lusfx.metrics import (
    Statistic,
    average_precision,
    balanced_accuracy,
    brier_score,
    calibration_bins,
    choose_threshold,
    mean_absolute_error,
    over_repeats,
    patient_bootstrap,
    performance,
    quadratic_weighted_kappa,
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
    random.shuffle(rows)  # type: ignore[attr-defined]
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


@given(scored)
def test_the_area_under_the_drawn_curve_is_the_auc(rows: list[tuple[int, float]]) -> None:
    targets, probabilities = arrays(rows)
    false_rate, true_rate = roc_points(targets, probabilities)
    assert np.trapezoid(true_rate, false_rate) == pytest.approx(roc_auc(targets, probabilities), abs=1e-12)


@pytest.mark.parametrize("statistic", [roc_auc, average_precision])
@pytest.mark.parametrize("target", [0, 1])
def test_figures_of_ranking_of_one_class_do_not_exist(statistic: Statistic, target: int) -> None:
    scores = np.linspace(0, 1, 6)
    assert np.isnan(statistic(np.full(6, target), scores))
    both = np.repeat([0, 1], 3)
    assert np.isnan(statistic(both, scores, (both == target).astype(np.float64)))


@given(scored, st.sampled_from([0.01, 0.5, 0.8, 0.95, 1.0]))
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


@pytest.mark.parametrize("low", [0.0, 0.3, np.nextafter(0.3, 1), np.nextafter(1.0, 0)])
def test_a_threshold_tells_neighbouring_floats_apart(low: float) -> None:
    targets, probabilities = np.array([0, 0, 1, 1]), np.repeat([low, np.nextafter(low, 1)], 2)
    threshold = choose_threshold(Youden(), targets, probabilities)
    assert (probabilities >= threshold).tolist() == [False, False, True, True]


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
    def counted(targets: np.ndarray, answers: np.ndarray):  # type: ignore[no-untyped-def]
        prepared.append(len(targets))
        return lambda weights: float(weights.sum())

    groups = np.array(list("aabbc"))
    patient_bootstrap(over_repeats(counted), np.zeros(5, np.int64), np.zeros((3, 5)), groups, seed=0, n_resamples=100)
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
