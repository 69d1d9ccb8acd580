"""Calibration slope and intercept are those of a logistic regression, and the words fit them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit

from lusfx.metrics import calibration_intercept, calibration_slope, may_be_believed, reliability

pytestmark = pytest.mark.usefixtures("few_resamples")


def drawn(slope: float, intercept: float, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets whose truth is the curve of the probabilities."""
    generator = np.random.default_rng(seed)
    log_odds = generator.normal(0, 1.5, n)
    targets = (generator.random(n) < expit(intercept + slope * log_odds)).astype(np.int64)
    return targets, expit(log_odds), np.array([f"p{number // 2}" for number in range(n)])


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.3, -2.0), (2.5, 1.0)])
def test_they_are_what_a_logistic_regression_finds(slope: float, intercept: float) -> None:
    targets, probabilities, _ = drawn(slope, intercept, 400)
    weights = np.random.default_rng(1).integers(0, 3, 400).astype(float)

    def loss(values: np.ndarray, fixed: bool) -> float:
        given_odds = values[0] + (1.0 if fixed else values[1]) * logit(probabilities)
        return float(weights @ (np.logaddexp(0, given_odds) - targets * given_odds))

    both = minimize(loss, [0.0, 1.0], args=(False,), tol=1e-10).x
    alone = minimize(loss, [0.0], args=(True,), tol=1e-10).x
    assert calibration_slope(targets, probabilities, weights) == pytest.approx(both[1], abs=1e-4)
    assert calibration_intercept(targets, probabilities, weights) == pytest.approx(alone[0], abs=1e-4)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 1e-300, 0.2, 0.5, 0.9, 1.0])), min_size=1, max_size=12)
)
def test_they_are_finite_or_not_there(rows: list[tuple[int, float]]) -> None:
    targets, probabilities = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    for figure in (calibration_slope(targets, probabilities), calibration_intercept(targets, probabilities)):
        assert np.isnan(figure) or abs(figure) <= 30
    if len(set(targets)) == 1 or len(set(probabilities)) == 1:
        assert np.isnan(calibration_slope(targets, probabilities))


@pytest.mark.parametrize(
    ("slope", "intercept", "n", "believed", "words"),
    [
        (1.0, 0.0, 600, True, "nothing speaks against the probabilities"),
        (1.0, -3.0, 600, False, "they are too high"),
        (1.0, 3.0, 600, False, "they are too low"),
        (0.1, 0.0, 600, False, "high ones are too high and low ones too low"),
        (-1.0, 0.0, 600, False, "they rank the wrong way round"),
        (3.0, 0.0, 900, False, "high ones are too low and low ones too high"),
        (1.0, 0.0, 12, None, "too few"),
        (1.0, 0.0, 0, None, "no labelled unit"),
    ],
)
def test_words_fit_the_figures(slope: float, intercept: float, n: int, believed: bool | None, words: str) -> None:
    targets, probabilities, groups = drawn(slope, intercept, n)
    figures = reliability(targets, probabilities, groups, seed=0) if n else {}
    said, sentence = may_be_believed(targets, probabilities, figures)
    assert (said, words in sentence) == (believed, True), sentence
    if n:
        assert f"of {n} they expect {probabilities.sum():.0f}" in sentence
        assert f"{targets.sum()} ({targets.mean():.0%}) are" in sentence
