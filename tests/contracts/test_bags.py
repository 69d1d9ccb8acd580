"""Bags keep the rows of each unit together and in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lusfx.contracts import Bags

lengths = st.lists(st.integers(1, 6), min_size=1, max_size=12)


def numbered(sizes: list[int]) -> list[np.ndarray]:
    """Bags of three features, no two of whose rows are alike."""
    rows = np.arange(3 * sum(sizes), dtype=np.float32).reshape(-1, 3)
    return np.split(rows, np.cumsum(sizes)[:-1])


@given(lengths)
def test_bags_come_out_as_they_went_in(sizes: list[int]) -> None:
    given_bags = numbered(sizes)
    bags = Bags.of(given_bags)
    assert len(bags) == len(sizes)
    assert bags.sizes.tolist() == sizes
    assert bags.starts.dtype == np.int64
    assert bags.rows.dtype == np.float32
    assert all((bags[i] == bag).all() for i, bag in enumerate(given_bags))
    assert sum(1 for _ in bags) == len(sizes)


@given(lengths, st.data())
def test_taken_bags_are_whole_and_in_the_order_asked_for(sizes: list[int], data: st.DataObject) -> None:
    """Also twice, and none at all."""
    given_bags = numbered(sizes)
    wanted = data.draw(st.lists(st.integers(0, len(sizes) - 1), max_size=12))
    taken = Bags.of(given_bags).take(np.array(wanted, np.intp))
    assert len(taken) == len(wanted)
    assert taken.sizes.tolist() == [sizes[i] for i in wanted]
    assert taken.rows.shape == (sum(sizes[i] for i in wanted), 3)
    assert all((taken[place] == given_bags[i]).all() for place, i in enumerate(wanted))


def test_taking_changes_nothing_in_the_bags_taken_from() -> None:
    bags = Bags.of(numbered([2, 1, 3]))
    before = bags.rows.copy()
    taken = bags.take(np.array([2, 0]))
    taken.rows[:] = -1
    assert (bags.rows == before).all()


def test_taking_twice_is_taking_once() -> None:
    bags = Bags.of(numbered([2, 1, 3, 4]))
    twice, once = bags.take(np.array([3, 1, 0])).take(np.array([2, 0])), bags.take(np.array([0, 3]))
    assert (twice.rows == once.rows).all()
    assert (twice.starts == once.starts).all()


def test_a_bag_that_is_not_there_is_not_taken() -> None:
    with pytest.raises(IndexError):
        Bags.of(numbered([2, 1])).take(np.array([2]))
