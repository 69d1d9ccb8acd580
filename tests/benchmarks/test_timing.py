"""Ways that take turns, and what is made of their times."""

from __future__ import annotations

import gc

import pytest

from benchmarks.inference.comparison import Comparison, floor
from benchmarks.timing import Rounds, Spread, seconds, take_turns


def test_ways_take_turns_and_change_who_is_first() -> None:
    calls: list[str] = []
    times = take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, Rounds(3, 3, 60.0))
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"  # the first round is not counted
    assert {name: len(found) for name, found in times.items()} == {"a": 3, "b": 3}


def test_each_turn_begins_warm_and_that_is_not_timed() -> None:
    calls: list[str] = []
    ways = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    take_turns(ways, Rounds(2, 2, 60.0), {"a": lambda: calls.append("A"), "b": lambda: calls.append("B")})
    assert "".join(calls) == "ab" + "AaBb" + "BbAa"


def test_rounds_end_with_the_budget_and_not_before_the_fewest() -> None:
    assert len(take_turns({"a": lambda: None}, Rounds(4, 100, 0.0))["a"]) == 4


def test_the_collector_is_off_while_a_way_is_timed_and_on_again_if_it_fails() -> None:
    seen = []
    assert seconds(lambda: seen.append(gc.isenabled())) >= 0
    assert seen == [False]
    with pytest.raises(ZeroDivisionError):
        seconds(lambda: 1 // 0)
    assert gc.isenabled()


def test_a_spread_is_median_and_quartiles() -> None:
    assert Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(3.0, 2.0, 4.0, 1.0, 5)
    assert Spread.of([0.123456789]).as_dict()["median"] == 0.12346


@pytest.mark.parametrize(("n_tasks", "share"), [(1, 0.0), (2, 1 / 2), (3, 2 / 3), (5, 4 / 5), (10, 9 / 10)])
def test_the_floor(n_tasks: int, share: float) -> None:
    assert floor(n_tasks) == pytest.approx(share)


def test_heads_that_cost_nothing_reach_the_floor() -> None:
    found = Comparison(3, [1.0, 2.0], [3.0, 6.0])
    assert found.saved == pytest.approx(2 / 3)
    assert found.short_points == pytest.approx(0)


def test_a_head_of_a_hundredth_of_the_encoder_is_a_point_short() -> None:
    found = Comparison(3, [1.03] * 3, [3.0] * 3)
    assert found.ratio.median == pytest.approx(1.03 / 3)
    assert found.short_points == pytest.approx(1.0)


def test_the_ratio_is_taken_round_by_round() -> None:
    """A round in which the machine was ten times as slow has the same ratio."""
    found = Comparison(2, [1.0, 10.0, 1.0], [2.0, 20.0, 2.0])
    assert found.ratio == Spread(0.5, 0.5, 0.5, 0.5, 3)
    facts = found.as_dict(10)
    assert facts["saved_percent"] == 50.0
    assert facts["short_of_floor_points"] == 0.0
    assert facts["shared_s_a_frame"]["median"] == 0.1
