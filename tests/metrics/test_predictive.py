"""Predictive values are counts in the table at its own prevalence, and Bayes' rule at another."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.metrics.predictive import predictive_value

TARGETS = np.array([1] * 8 + [0] * 40)
ANSWERS = np.array([True] * 6 + [False] * 2 + [True] * 10 + [False] * 30)


@pytest.mark.parametrize(
    ("prevalence", "ppv", "npv"), [(None, 6 / 16, 30 / 32), (0.5, 0.75, 0.75), (0.01, 0.0294, 0.9966)]
)
def test_they_are_shares_of_right_answers(prevalence: float | None, ppv: float, npv: float) -> None:
    assert predictive_value(1, prevalence)(TARGETS, ANSWERS) == pytest.approx(ppv, abs=1e-4)
    assert predictive_value(0, prevalence)(TARGETS, ANSWERS) == pytest.approx(npv, abs=1e-4)


def test_of_an_answer_that_is_never_given_there_is_none() -> None:
    never = np.zeros(48, np.bool_)
    assert np.isnan(predictive_value(1, None)(TARGETS, never))
    assert predictive_value(0, None)(TARGETS, never) == pytest.approx(40 / 48)
