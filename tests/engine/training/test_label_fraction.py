"""A label fraction is a stratified sample of patients with both answers, and those of one draw lie in one another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lusfx.engine.training.label_fraction import patients_in_order, rows_of_fraction

FRACTIONS = (0.01, 0.1, 0.3, 0.5, 1.0)


def table(n_patients: int, share_yes: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    groups = np.repeat([f"p-{number:03}" for number in range(n_patients)], generator.integers(1, 5, n_patients))
    return (generator.random(len(groups)) < share_yes).astype(np.int64), groups


@given(st.integers(4, 60), st.floats(0.05, 0.95), st.integers(0, 999), st.integers(1, 3))
def test_both_answers_are_there_and_larger_fractions_hold_smaller_ones(
    n_patients: int, share_yes: float, seed: int, least: int
) -> None:
    targets, groups = table(n_patients, share_yes, seed)
    order, fewest = patients_in_order(targets, groups, least, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(n_patients))
    before: set[int] = set()
    for fraction in FRACTIONS:
        rows = rows_of_fraction(groups, order, fewest, fraction)
        for answer in (0, 1):
            wanted = min(least, len(np.unique(groups[targets == answer])))
            assert len(np.unique(groups[rows][targets[rows] == answer])) >= wanted
        assert before <= set(rows.tolist())
        assert len(np.unique(groups[rows])) == max(fewest, round(fraction * n_patients))
        assert np.isin(groups, groups[rows]).sum() == len(rows)  # whole patients
        before = set(rows.tolist())
    assert before == set(range(len(groups)))


def test_shares_of_the_answers_are_kept() -> None:
    groups = np.array([f"p-{number:03}" for number in range(100)])
    targets = np.repeat([1, 0], [20, 80])
    for seed in range(20):
        order, fewest = patients_in_order(targets, groups, 2, np.random.default_rng(seed))
        rows = rows_of_fraction(groups, order, fewest, 0.5)
        assert 9 <= targets[rows].sum() <= 11


def test_draws_differ_and_follow_the_seed_and_not_the_pseudonyms() -> None:
    targets, groups = table(40, 0.4, 1)
    renamed = np.array([f"p-{hash_:03}" for hash_ in np.random.default_rng(5).permutation(40)])[
        np.unique(groups, return_inverse=True)[1]
    ]
    orders = []
    for seed in (1, 1, 2):
        here, there = (
            patients_in_order(targets, names, 2, np.random.default_rng(seed))[0].tolist() for names in (groups, renamed)
        )
        assert here == there
        orders.append(here)
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("answer", [0, 1])
def test_of_one_answer_alone_what_there_is_is_taken(answer: int) -> None:
    groups = np.array(["a", "b", "c", "d"])
    order, fewest = patients_in_order(np.full(4, answer), groups, 2, np.random.default_rng(0))
    assert len(rows_of_fraction(groups, order, fewest, 0.01)) == 2
