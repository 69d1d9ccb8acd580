"""Curves that reports draw hold what the figures beside them say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from lusfx.metrics import calibration_bins, mean_roc, pairs, roc_auc, roc_points, within_folds

scored = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.50001, 0.9, 1.0]) | st.floats(0, 1)),
    min_size=4,
    max_size=60,
).filter(lambda rows: len({target for target, _ in rows}) == 2)


def arrays(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([target for target, _ in rows]), np.array([probability for _, probability in rows])


@given(scored)
def test_the_area_under_the_drawn_curve_is_the_auc(rows: list[tuple[int, float]]) -> None:
    targets, probabilities = arrays(rows)
    false_rate, true_rate = roc_points(targets, probabilities)
    assert trapezoid(true_rate, false_rate) == pytest.approx(roc_auc(targets, probabilities), abs=1e-12)


@settings(max_examples=30)
@given(scored)
def test_calibration_bins_hold_every_clip_once(rows: list[tuple[int, float]]) -> None:
    targets, probabilities = arrays(rows)
    bins = calibration_bins(targets, probabilities)
    assert sum(point.n_clips for point in bins) == len(targets)
    assert [point.predicted for point in bins] == sorted(point.predicted for point in bins)
    assert all(point.low - 1e-9 <= point.observed <= point.high + 1e-9 for point in bins)


def test_nothing_has_no_calibration_bins() -> None:
    assert calibration_bins(np.empty(0, np.int64), np.empty(0)) == []


def test_a_bin_s_interval_is_wilson_s() -> None:
    from scipy.stats import binomtest

    (point,) = calibration_bins(np.repeat([0, 1], [30, 10]), np.full(40, 0.3), n_bins=1)
    expected = binomtest(10, 40).proportion_ci(method="wilson")
    assert (point.low, point.high) == pytest.approx((expected.low, expected.high))
    assert (point.predicted, point.observed, point.n_clips) == pytest.approx((0.3, 0.25, 40))


def area(curve: tuple[np.ndarray, np.ndarray]) -> float:
    false_rate, true_rate = curve
    return float(trapezoid(true_rate, false_rate))


def test_the_area_under_the_mean_curve_is_about_the_auc_within_folds() -> None:
    """But for the steps that fall between the points that it is drawn through."""
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, 300)
    folds = np.stack([generator.permutation(np.arange(300) % 5) for _ in range(4)])
    repeats = generator.normal(size=(4, 300)) + 1.2 * targets + 3 * folds  # which a pooled curve would drown in
    expected = np.mean(
        [within_folds(roc_auc, fold, pairs)(targets, repeat) for fold, repeat in zip(folds, repeats, strict=True)]
    )
    assert area(mean_roc(targets, repeats, folds)) == pytest.approx(expected, abs=0.005)
    assert abs(area(roc_points(targets, repeats[0])) - expected) > 0.1


@settings(max_examples=30)
@given(scored)
def test_the_mean_curve_of_one_fold_is_its_curve(rows: list[tuple[int, float]]) -> None:
    targets, probabilities = arrays(rows)
    false_rate, true_rate = mean_roc(targets, probabilities[None], np.zeros((1, len(rows)), np.int64))
    assert (false_rate[0], true_rate[0], false_rate[-1], true_rate[-1]) == (0, 0, 1, 1)
    assert (np.diff(false_rate) >= 0).all()
    assert (np.diff(true_rate) >= -1e-12).all()
    assert area((false_rate, true_rate)) == pytest.approx(roc_auc(targets, probabilities), abs=0.005)


def test_folds_of_one_class_have_no_curve_and_without_any_the_diagonal_is_drawn() -> None:
    targets, folds = np.array([0, 1, 1, 1]), np.array([[0, 0, 1, 1]])
    curve = mean_roc(targets, np.array([[0.2, 0.9, 0.1, 0.3]]), folds)
    assert area(curve) == pytest.approx(1)
    false_rate, true_rate = mean_roc(targets[2:], np.array([[0.1, 0.3]]), folds[:, 2:])
    assert false_rate.tolist() == true_rate.tolist()
