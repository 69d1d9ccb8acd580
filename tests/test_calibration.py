"""Calibrations say how likely yes is, keep the order of scores, and refuse what they cannot be fitted to."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lusfx.calibration import (
    ISOTONIC_MIN_EVENTS,
    ISOTONIC_MIN_UNITS,
    LEAST_SLOPE,
    CalibrationMethod,
    IsotonicCalibration,
    PlattCalibration,
    fit_calibration,
)
from lusfx.errors import TrainingRefusedError

FITTED: tuple[CalibrationMethod, ...] = ("platt", "isotonic")


def log_odds(values: np.ndarray) -> np.ndarray:
    return np.log(values) - np.log1p(-values)


def distorted(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores that claim too much, the outcomes, and the true probabilities: half the score's log odds, less one."""
    generator = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(-3 * generator.normal(size=n)))
    truth = 1 / (1 + np.exp(1 - log_odds(scores) / 2))
    return scores, (generator.random(n) < truth).astype(np.int64), truth


def platt(
    scores: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None, folds: np.ndarray | None = None
) -> PlattCalibration:
    fit = fit_calibration("platt", scores, targets, weights, folds)
    assert isinstance(fit, PlattCalibration)
    return fit


def test_none_calibrates_nothing() -> None:
    assert fit_calibration("none", np.array([0.5]), np.array([1])) is None


def test_platt_finds_the_curve_that_made_the_outcomes() -> None:
    scores, targets, truth = distorted(20_000)
    fit = platt(scores, targets)
    assert (fit.slope, fit.intercept) == pytest.approx((0.5, -1), abs=0.05)
    assert np.abs(fit(scores) - truth).max() < 0.02


def test_isotonic_finds_a_curve_that_platt_cannot_draw() -> None:
    generator = np.random.default_rng(0)
    scores = generator.random(20_000)
    truth = np.where(scores < 0.5, 0.2, 0.6)
    targets = (generator.random(20_000) < truth).astype(np.int64)
    isotonic = fit_calibration("isotonic", scores, targets)
    assert isotonic is not None
    assert np.abs(isotonic(scores) - truth).mean() < 0.02
    assert np.abs(platt(scores, targets)(scores) - truth).mean() > 0.03


def test_platt_is_the_minimum_that_scikit_learn_finds() -> None:
    """With each row once as yes and once as no, weighted by Platt's smoothed target."""
    from sklearn.linear_model import LogisticRegression

    scores, targets, _ = distorted(60)
    n_yes = targets.sum()
    wanted = np.where(targets == 1, (n_yes + 1) / (n_yes + 2), 1 / (60 - n_yes + 2))
    model = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000)
    model.fit(np.tile(log_odds(scores), 2)[:, None], np.repeat([1, 0], 60), np.concatenate([wanted, 1 - wanted]))
    fit = platt(scores, targets)
    assert (fit.slope, fit.intercept) == pytest.approx((model.coef_[0, 0], model.intercept_[0]), abs=1e-4)


def test_scores_that_rank_the_wrong_way_mean_nothing_and_are_not_turned_round() -> None:
    scores, targets, _ = distorted(400)
    fit = platt(1 - scores, targets)
    assert 0 < fit.slope < 0.02  # the order stays, and means next to nothing
    n_yes = int(targets.sum())
    smoothed = (n_yes * (n_yes + 1) / (n_yes + 2) + (400 - n_yes) / (400 - n_yes + 2)) / 400
    probabilities = fit(np.array([0.0, 0.3, 1.0]))
    assert probabilities == pytest.approx(np.full(3, smoothed), abs=0.02)
    assert (np.diff(probabilities) > 0).all()


def test_scores_that_separate_the_classes_stay_finite() -> None:
    """Exact 0 and 1 too; and ten units do not show that nothing is ever missed."""
    targets = np.repeat([0, 1], 5)
    fit = platt(targets.astype(np.float64), targets)
    assert fit(np.array([0.0, 1.0])) == pytest.approx([1 / 7, 6 / 7])


@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
def test_constant_scores_get_the_base_rate(score: float) -> None:
    fit = platt(np.full(300, score), np.repeat([0, 0, 1], 100))
    assert fit.slope == 0  # one score has no order to keep
    assert fit(np.array([0.0, score, 1.0])) == pytest.approx(np.full(3, 1 / 3), abs=0.01)


def test_scores_that_differ_by_rounding_alone_are_constant() -> None:
    scores = 0.3 + np.arange(20) * 1e-15
    assert platt(scores, (np.arange(20) >= 10).astype(np.int64)).slope == 0


scored = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=2, max_size=40).filter(
    lambda rows: len({target for target, _ in rows}) == 2
)


@given(scored)
def test_platt_never_changes_the_order(rows: list[tuple[int, float]]) -> None:
    fit = platt(np.array([score for _, score in rows]), np.array([target for target, _ in rows]))
    probabilities = fit(np.linspace(0, 1, 1001))
    assert (np.diff(probabilities) >= -1e-15).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


# ---- scores of several heads ------------------------------------------------------------------------------------------


def of_several_heads(n_folds: int = 5, n: int = 4000, offset: float = 3.0) -> tuple[np.ndarray, ...]:
    """Scores whose log odds mean 0.8 of what they say within each fold, and are the lower the more units of it are yes."""
    generator = np.random.default_rng(0)
    folds = np.arange(n) % n_folds
    prevalence = np.linspace(0.2, 0.8, n_folds)[folds]
    signal = generator.normal(size=n)
    truth = 1 / (1 + np.exp(-(log_odds(prevalence) + 0.8 * signal)))
    scores = 1 / (1 + np.exp(-(signal - offset * (prevalence - 0.5))))
    return scores, (generator.random(n) < truth).astype(np.int64), folds


def test_the_slope_is_sought_within_folds() -> None:
    """What heads add to all of a fold's scores would hide it; so much so that they seem to mean the contrary."""
    scores, targets, folds = of_several_heads()
    assert platt(scores, targets, folds=folds).slope == pytest.approx(0.8, abs=0.08)
    assert platt(scores, targets).slope < 0.6
    scores, targets, folds = of_several_heads(offset=9.0)
    assert platt(scores, targets, folds=folds).slope == pytest.approx(0.8, abs=0.08)
    assert platt(scores, targets).slope < 0.02


def test_the_slope_within_folds_is_that_of_scikit_learn_with_an_intercept_a_fold() -> None:
    from sklearn.linear_model import LogisticRegression

    scores, targets, folds = of_several_heads(n=200)
    n_yes = targets.sum()
    wanted = np.where(targets == 1, (n_yes + 1) / (n_yes + 2), 1 / (200 - n_yes + 2))
    design = np.column_stack([log_odds(scores), *(folds == fold for fold in range(5))])
    model = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000, fit_intercept=False)
    model.fit(np.tile(design, (2, 1)), np.repeat([1, 0], 200), np.concatenate([wanted, 1 - wanted]))
    assert platt(scores, targets, folds=folds).slope == pytest.approx(model.coef_[0, 0], abs=1e-4)


def test_the_level_is_that_of_all_units() -> None:
    """The mean probability is the share of yes, but for the two units that Platt draws it in by."""
    scores, targets, folds = of_several_heads()
    assert platt(scores, targets, folds=folds)(scores).mean() == pytest.approx(targets.mean(), abs=0.001)


def test_scores_that_rank_the_wrong_way_within_folds_keep_their_order_and_mean_next_to_nothing() -> None:
    scores, targets, folds = of_several_heads(offset=-9.0)  # heads that know which fold has how many, and nothing else
    turned = 1 / (1 + np.exp(2 * log_odds(scores)))
    fit = platt(turned, targets, folds=folds)
    spread = log_odds(np.clip(turned, 1e-6, 1 - 1e-6)).std()
    assert fit.slope == pytest.approx(LEAST_SLOPE / spread)
    probabilities = fit(np.sort(turned))
    assert (np.diff(probabilities) >= 0).all()
    assert probabilities[-1] > probabilities[0]
    assert np.ptp(probabilities) < 0.05


@given(scored, st.integers(0, 9))
def test_one_fold_is_as_good_as_none(rows: list[tuple[int, float]], number: int) -> None:
    scores, targets = np.array([score for _, score in rows]), np.array([target for target, _ in rows])
    assert platt(scores, targets, folds=np.full(len(rows), number)) == platt(scores, targets)


@given(scored, st.integers(0, 100))
def test_any_folds_keep_the_order_and_their_names_do_not_matter(rows: list[tuple[int, float]], seed: int) -> None:
    """Folds of one class and of one unit too."""
    scores, targets = np.array([score for _, score in rows]), np.array([target for target, _ in rows])
    folds = np.random.default_rng(seed).integers(0, 4, len(rows))
    fit = platt(scores, targets, folds=folds)
    assert fit.slope >= 0
    assert (np.diff(fit(np.linspace(0, 1, 101))) >= -1e-15).all()
    assert fit == platt(scores, targets, folds=7 * folds + 3)


def test_weights_count_units_within_folds() -> None:
    scores, targets, folds = of_several_heads(n=200)
    counts = np.random.default_rng(1).integers(1, 4, 200)
    weighted = platt(scores, targets, counts.astype(np.float64), folds)
    repeated = platt(*(np.repeat(array, counts) for array in (scores, targets)), None, np.repeat(folds, counts))
    assert (weighted.slope, weighted.intercept) == pytest.approx((repeated.slope, repeated.intercept), abs=1e-6)


def test_isotonic_never_changes_the_order() -> None:
    scores, targets, _ = distorted(2000)
    scores = np.round(scores, 2)
    isotonic = fit_calibration("isotonic", scores, targets)
    assert isotonic is not None
    probabilities = isotonic(np.linspace(0, 1, 10_001))
    assert (np.diff(probabilities) >= -1e-15).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


@given(scored, st.integers(0, 100))
def test_weights_count_units(rows: list[tuple[int, float]], seed: int) -> None:
    scores, targets = np.array([score for _, score in rows]), np.array([target for target, _ in rows])
    counts = np.random.default_rng(seed).integers(1, 4, len(rows))
    weighted = platt(scores, targets, counts.astype(np.float64))
    repeated = platt(np.repeat(scores, counts), np.repeat(targets, counts))
    grid = np.array([0, 0.25, 0.5, 0.75, 1])
    assert weighted(grid) == pytest.approx(repeated(grid), abs=1e-5)


def test_isotonic_with_weights_agrees_with_repetition() -> None:
    scores, targets, _ = distorted(1200)
    counts = np.random.default_rng(1).integers(1, 4, 1200)
    weighted = fit_calibration("isotonic", scores, targets, counts.astype(np.float64))
    repeated = fit_calibration("isotonic", np.repeat(scores, counts), np.repeat(targets, counts))
    assert weighted is not None
    assert repeated is not None
    assert weighted(scores) == pytest.approx(repeated(scores), abs=1e-9)


def test_isotonic_is_refused_where_it_would_follow_chance() -> None:
    few = ISOTONIC_MIN_UNITS - 1
    with pytest.raises(TrainingRefusedError, match=r"there are 999 and 499: .*'platt'"):
        fit_calibration("isotonic", np.linspace(0, 1, few), (np.arange(few) > 499).astype(np.int64))
    rare = (np.arange(5000) < ISOTONIC_MIN_EVENTS - 1).astype(np.int64)
    for targets in (rare, 1 - rare):
        with pytest.raises(TrainingRefusedError, match="there are 5000 and 99"):
            fit_calibration("isotonic", np.linspace(0, 1, 5000), targets)
    # Frames are not units: 10,000 of 500 clips are 500.
    with pytest.raises(TrainingRefusedError, match="there are 500 and 250"):
        fit_calibration("isotonic", np.linspace(0, 1, 10_000), np.repeat([0, 1], 5000), np.full(10_000, 0.05))
    enough = np.arange(ISOTONIC_MIN_UNITS) < ISOTONIC_MIN_EVENTS
    assert fit_calibration("isotonic", np.linspace(0, 1, len(enough)), enough.astype(np.int64)) is not None


@pytest.mark.parametrize("method", FITTED)
def test_one_class_is_refused(method: CalibrationMethod) -> None:
    for target in (0, 1):
        with pytest.raises(TrainingRefusedError, match="one class"):
            fit_calibration(method, np.linspace(0, 1, 2000), np.full(2000, target))


@pytest.mark.parametrize("method", FITTED)
@pytest.mark.parametrize("score", [np.nan, -0.1, 1.1, np.inf])
def test_what_is_no_score_is_refused(method: CalibrationMethod, score: float) -> None:
    scores = np.linspace(0, 1, 2000)
    scores[3] = score
    with pytest.raises(TrainingRefusedError, match="from 0 to 1"):
        fit_calibration(method, scores, np.repeat([0, 1], 1000))


def test_arrays_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="2 scores, 3 targets and 2 weights"):
        fit_calibration("platt", np.array([0.1, 0.2]), np.array([0, 1, 1]))


@pytest.mark.parametrize(
    ("slope", "intercept"), [(-1e-9, 0.0), (np.nan, 0.0), (np.inf, 0.0), (1.0, np.nan), (1.0, -np.inf)]
)
def test_a_bad_curve_cannot_be_made(slope: float, intercept: float) -> None:
    with pytest.raises(ValueError, match="slope"):
        PlattCalibration(slope, intercept)


@pytest.mark.parametrize(
    ("scores", "probabilities"),
    [
        ((), ()),
        ((0.1,), ()),
        ((0.1,), (0.2, 0.3)),
        ((0.1, 0.1), (0.2, 0.3)),
        ((0.2, 0.1), (0.2, 0.3)),
        ((0.1, 0.2), (0.3, 0.2)),
        ((-0.1, 0.2), (0.1, 0.2)),
        ((0.1, 1.2), (0.1, 0.2)),
        ((0.1, 0.2), (-0.1, 0.2)),
        ((0.1, 0.2), (0.1, 1.2)),
        ((np.nan, 0.2), (0.1, 0.2)),
        ((0.1, 0.2), (0.1, np.nan)),
    ],
)
def test_bad_knots_cannot_be_made(scores: tuple[float, ...], probabilities: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="isotonic"):
        IsotonicCalibration(scores, probabilities)


def test_knots_are_joined_by_straight_lines_and_level_outside() -> None:
    curve = IsotonicCalibration((0.2, 0.4), (0.1, 0.5))
    assert curve(np.array([0.0, 0.2, 0.3, 0.4, 1.0])) == pytest.approx([0.1, 0.1, 0.3, 0.5, 0.5])
    assert IsotonicCalibration((0.5,), (0.3,))(np.array([0.0, 1.0])) == pytest.approx([0.3, 0.3])


def test_the_curve_that_changes_nothing_changes_nothing() -> None:
    scores = np.linspace(0.01, 0.99, 50)
    assert PlattCalibration(1.0, 0.0)(scores) == pytest.approx(scores, abs=1e-12)


def test_a_curve_as_steep_as_numbers_go_is_a_step() -> None:
    assert PlattCalibration(1e308, 0.0)(np.array([0.0, 0.5, 1.0])).tolist() == [0.0, 0.5, 1.0]


def test_what_is_not_scored_is_not_calibrated() -> None:
    for curve in (PlattCalibration(1.0, 0.0), IsotonicCalibration((0.2, 0.4), (0.1, 0.5))):
        assert np.isnan(curve(np.array([np.nan, 0.3]))).tolist() == [True, False]


def test_a_calibration_is_served_without_scikit_learn_or_scipy() -> None:
    code = (
        "import sys, numpy as np\n"
        "from lusfx.calibration import IsotonicCalibration, PlattCalibration\n"
        "PlattCalibration(1.0, 0.0)(np.array([0.5])); IsotonicCalibration((0.2,), (0.1,))(np.array([0.5]))\n"
        "assert not {'sklearn', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
