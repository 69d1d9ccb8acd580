"""Thresholds are what their rules ask for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lusfx.contracts import MinSensitivity, MinSpecificity, OperatingPoint, Youden
from lusfx.metrics import choose_threshold, choose_thresholds, sensitivity, specificity

scored = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.50001, 0.9, 1.0]) | st.floats(0, 1)),
    min_size=4,
    max_size=60,
).filter(lambda rows: len({target for target, _ in rows}) == 2)


def arrays(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([target for target, _ in rows]), np.array([probability for _, probability in rows])


@given(scored, st.sampled_from([0.01, 0.5, 0.8, 0.95, 1.0]))
def test_minimum_rules_keep_their_promise_and_give_no_more_away(rows: list[tuple[int, float]], least: float) -> None:
    targets, probabilities = arrays(rows)

    def reached(threshold: float) -> tuple[float, float]:
        return sensitivity(targets, probabilities >= threshold), specificity(targets, probabilities >= threshold)

    all_reached = [reached(candidate) for candidate in (0.0, *np.unique(probabilities), 1.1)]
    balanced = reached(choose_threshold(Youden(), targets, probabilities))
    assert sum(balanced) == pytest.approx(max(map(sum, all_reached)))
    for rule, asked, other in ((MinSensitivity(least), 0, 1), (MinSpecificity(least), 1, 0)):
        found = reached(choose_threshold(rule, targets, probabilities))
        assert found[asked] >= max(least, balanced[asked]) - 1e-9
        allowed = [each for each in all_reached if each[asked] >= max(least, balanced[asked]) - 1e-9]
        assert found[other] == pytest.approx(max(each[other] for each in allowed))
        assert not [each for each in all_reached if each[other] == found[other] and each[asked] > found[asked]]


@given(scored, st.lists(st.floats(0.01, 1), min_size=1, max_size=3), st.lists(st.floats(0.01, 1), max_size=3))
def test_names_mean_what_they_say(
    rows: list[tuple[int, float]], sensitivities: list[float], specificities: list[float]
) -> None:
    """A screen says yes wherever the balanced point does, and that one wherever a rule-in does."""
    rules: dict[str, OperatingPoint] = {"balanced": Youden()}
    rules |= {f"rule-in-{number}": MinSpecificity(least) for number, least in enumerate(specificities)}
    rules |= {f"screen-{number}": MinSensitivity(least) for number, least in enumerate(sensitivities)}
    chosen = choose_thresholds(rules, *arrays(rows))
    assert list(chosen.values()) == sorted(chosen.values())
    assert next(iter(chosen)).startswith("screen")
    assert "rule-in" in list(chosen)[-1] or not specificities


def test_a_threshold_stands_between_scores() -> None:
    targets, probabilities = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.8])
    assert choose_threshold(Youden(), targets, probabilities) == pytest.approx(0.4)


@pytest.mark.parametrize("low", [0.0, 0.3, np.nextafter(0.3, 1), np.nextafter(1.0, 0)])
def test_a_threshold_tells_neighbouring_floats_apart(low: float) -> None:
    targets, probabilities = np.array([0, 0, 1, 1]), np.repeat([low, np.nextafter(low, 1)], 2)
    threshold = choose_threshold(Youden(), targets, probabilities)
    assert (probabilities >= threshold).tolist() == [False, False, True, True]


def test_a_minimum_that_nothing_else_reaches_is_reached_by_one_answer_for_all() -> None:
    """Scores that mean nothing: always yes finds every positive, and never yes is never wrong about a negative."""
    targets, probabilities = np.array([1, 0, 1, 0]), np.full(4, 0.5)
    assert choose_threshold(MinSensitivity(0.9), targets, probabilities) == 0
    assert choose_threshold(MinSpecificity(0.9), targets, probabilities) > 1
    certain = np.array([1.0, 1.0, 1.0, 1.0])
    assert not (certain >= choose_threshold(MinSpecificity(0.9), targets, certain)).any()
