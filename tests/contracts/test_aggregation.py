"""Aggregations answer in seconds: a clip's score does not hang on its frame rate, and is what its definition says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lusfx.contracts import Aggregation, BestWindow, LongestRun, Mean, NoisyOr, frame_durations
from lusfx.errors import PluginError

RULES: tuple[Aggregation, ...] = (
    Mean(),
    LongestRun(),
    LongestRun(above=0.8, seconds=2),
    BestWindow(),
    BestWindow(seconds=0.2),
    NoisyOr(),
    NoisyOr(seconds=3),
)
ids = pytest.mark.parametrize("rule", RULES, ids=str)

probability = st.sampled_from([0.0, 0.1, 0.5, 0.7999, 0.8, 1.0]) | st.floats(0, 1)
frames = st.lists(st.tuples(probability, st.floats(0.01, 2)), min_size=2, max_size=30)
seven_frames = st.lists(st.tuples(probability, st.floats(0.01, 2)), min_size=7, max_size=7)


def arrays(rows: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


@ids
@given(rows=frames, n_copies=st.integers(2, 5))
def test_a_clip_at_a_higher_frame_rate_has_the_same_score(
    rule: Aggregation, rows: list[tuple[float, float]], n_copies: int
) -> None:
    probabilities, durations = arrays(rows)
    slow = rule(probabilities, durations)
    fast = rule(np.repeat(probabilities, n_copies), np.repeat(durations / n_copies, n_copies))
    assert fast == pytest.approx(slow, abs=1e-9)


@ids
@given(rows=frames)
def test_scores_are_probabilities_and_the_input_is_left_as_it_was(
    rule: Aggregation, rows: list[tuple[float, float]]
) -> None:
    probabilities, durations = arrays(rows)
    probabilities.setflags(write=False)
    durations.setflags(write=False)
    score = rule(probabilities, durations)
    assert type(score) is float
    assert 0 <= score <= 1


@ids
@given(rows=frames, chosen=st.integers(0, 29), more=st.floats(0, 1))
def test_a_frame_that_is_likelier_yes_makes_the_clip_no_less_likely(
    rule: Aggregation, rows: list[tuple[float, float]], chosen: int, more: float
) -> None:
    probabilities, durations = arrays(rows)
    higher = probabilities.copy()
    higher[chosen % len(rows)] += more * (1 - higher[chosen % len(rows)])
    assert rule(higher, durations) >= rule(probabilities, durations) - 1e-9


@ids
@given(rows=frames)
def test_a_clip_played_backwards_has_the_same_score(rule: Aggregation, rows: list[tuple[float, float]]) -> None:
    probabilities, durations = arrays(rows)
    assert rule(probabilities[::-1], durations[::-1]) == pytest.approx(rule(probabilities, durations), abs=1e-9)


@ids
@pytest.mark.parametrize(("constant", "score"), [(0.0, 0.0), (1.0, 1.0)])
@pytest.mark.parametrize("n_frames", [1, 2, 7, 300])
def test_a_clip_of_one_mind_has_that_score(rule: Aggregation, constant: float, score: float, n_frames: int) -> None:
    assert rule(np.full(n_frames, constant), np.full(n_frames, 1 / 30)) == pytest.approx(score)


@pytest.mark.parametrize("rule", [Mean(), BestWindow(), BestWindow(0.2), BestWindow(9), NoisyOr(), NoisyOr(9)], ids=str)
def test_a_still_has_the_score_of_its_frame(rule: Aggregation) -> None:
    durations = frame_durations(np.array([np.nan]), np.array([True]))
    assert durations is not None
    assert rule(np.array([0.3]), durations) == pytest.approx(0.3)


def test_a_still_is_a_run_that_fills_its_clip_or_none() -> None:
    assert LongestRun(above=0.5, seconds=9)(np.array([0.5]), np.ones(1)) == 1
    assert LongestRun(above=0.5, seconds=0.1)(np.array([0.49]), np.ones(1)) == 0


@given(frames)
def test_the_mean_is_over_time(rows: list[tuple[float, float]]) -> None:
    expected = sum(p * d for p, d in rows) / sum(d for _, d in rows)
    assert Mean()(*arrays(rows)) == pytest.approx(expected, abs=1e-9)


@given(frames | seven_frames, st.floats(0.05, 1), st.floats(0.05, 10))
def test_the_longest_run_is_the_longest_of_all_runs(
    rows: list[tuple[float, float]], above: float, seconds: float
) -> None:
    longest = max(
        sum(d for _, d in rows[begin:end])
        for begin in range(len(rows) + 1)
        for end in range(begin, len(rows) + 1)
        if all(p >= above for p, _ in rows[begin:end])
    )
    expected = min(longest / min(seconds, sum(d for _, d in rows)), 1)
    assert LongestRun(above, seconds)(*arrays(rows)) == pytest.approx(expected, abs=1e-9)


def mean_between(rows: list[tuple[float, float]], begin: float, end: float) -> float:
    """The mean over a stretch of time, added up frame by frame."""
    time, area = 0.0, 0.0
    for p, duration in rows:
        area += p * max(min(end, time + duration) - max(begin, time), 0.0)
        time += duration
    return area / (end - begin)


@given(frames | seven_frames, st.floats(0.05, 10))
def test_the_best_window_is_not_below_any_window_and_is_one_of_them(
    rows: list[tuple[float, float]], seconds: float
) -> None:
    total = sum(d for _, d in rows)
    window = min(seconds, total)
    score = BestWindow(seconds)(*arrays(rows))
    edges = [sum(d for _, d in rows[:i]) for i in range(len(rows) + 1)]
    places = [*np.linspace(0, total - window, 50), *edges, *(edge - window for edge in edges)]
    means = [mean_between(rows, p, p + window) for p in (min(max(place, 0.0), total - window) for place in places)]
    assert score == pytest.approx(max(means), abs=1e-9)


@given(frames)
def test_a_window_of_the_whole_clip_is_the_mean(rows: list[tuple[float, float]]) -> None:
    assert BestWindow(1000)(*arrays(rows)) == pytest.approx(Mean()(*arrays(rows)), abs=1e-9)


@given(st.lists(probability, min_size=2, max_size=20))
def test_noisy_or_of_one_look_a_frame_is_the_chance_of_at_least_one_yes(probabilities: list[float]) -> None:
    expected = 1 - math.prod(1 - p for p in probabilities)
    assert NoisyOr(0.5)(np.array(probabilities), np.full(len(probabilities), 0.5)) == pytest.approx(expected, abs=1e-9)


def test_noisy_or_of_a_certain_frame_is_certain() -> None:
    assert NoisyOr()(np.array([0.2, 1.0]), np.array([2.0, 0.04])) == 1


def test_a_run_of_half_a_second_at_any_frame_rate() -> None:
    """Ten frames of yes are a run of half a second at 20 frames a second, and of a quarter at 40."""
    hits = np.concatenate([np.zeros(30), np.ones(10), np.zeros(30)])
    assert LongestRun(seconds=0.5)(hits, np.full(70, 1 / 20)) == pytest.approx(1)
    assert LongestRun(seconds=0.5)(hits, np.full(70, 1 / 40)) == pytest.approx(0.5)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("rule", [LongestRun, BestWindow, NoisyOr])
def test_seconds_that_are_none_are_refused(rule: type[LongestRun | BestWindow | NoisyOr], seconds: float) -> None:
    with pytest.raises(PluginError, match=f"{rule.__name__}: 'seconds' must be a finite number above 0"):
        rule(seconds=seconds)


@pytest.mark.parametrize("above", [0.0, -0.1, 1.1, math.nan])
def test_a_probability_that_is_none_is_refused(above: float) -> None:
    with pytest.raises(PluginError, match="LongestRun: 'above'"):
        LongestRun(above=above)


def test_only_the_mean_can_do_without_times() -> None:
    assert [type(rule) for rule in RULES if not rule.needs_times] == [Mean]


def durations_of(times: list[float], unreadable: tuple[int, ...] = ()) -> list[float] | None:
    readable = np.array([i not in unreadable for i in range(len(times))])
    durations = frame_durations(np.array(times, np.float64), readable)
    return None if durations is None else durations.tolist()


def test_a_frame_lasts_until_the_next_and_the_last_as_long_as_the_median() -> None:
    assert durations_of([0, 1, 3, 4, 8, 9, 12]) == [1, 2, 1, 4, 1, 3, 1.5]
    assert durations_of([0, 0.5]) == [0.5, 0.5]


def test_an_unreadable_frame_does_not_stretch_the_frame_before_it() -> None:
    assert durations_of([0, 1, 3, 4, 8, 9, 12], (1, 6)) == [1, 1, 4, 1, 3]


def test_an_unreadable_frame_neither_adds_to_a_run_nor_ends_it() -> None:
    times, hits = np.arange(7) / 10, np.array([0.0, 1, 1, 0, 1, 1, 0])
    readable = np.arange(7) != 3
    durations = frame_durations(times, readable)
    assert durations is not None
    assert LongestRun(seconds=0.5)(hits[readable], durations) == pytest.approx(0.4 / 0.5)
    assert LongestRun(seconds=0.5)(hits, np.full(7, 0.1)) == pytest.approx(0.2 / 0.5)


@pytest.mark.parametrize(
    "times", [[0, math.nan], [math.nan, math.nan, math.nan], [0, 1, 1], [0, 2, 1], [0, 1, math.inf]]
)
def test_times_that_are_unknown_or_do_not_rise_give_no_durations(times: list[float]) -> None:
    assert durations_of(times) is None


@pytest.mark.parametrize("time", [0.0, math.nan])
def test_a_still_needs_no_time(time: float) -> None:
    assert durations_of([time]) == [1]


@given(st.lists(st.floats(0.01, 2), min_size=1, max_size=20), st.data())
def test_there_is_a_duration_for_each_readable_frame(steps: list[float], data: st.DataObject) -> None:
    times = np.concatenate([[0], np.cumsum(steps)])
    readable = np.array(data.draw(st.lists(st.booleans(), min_size=len(times), max_size=len(times))))
    durations = frame_durations(times, readable)
    assert durations is not None
    assert durations.shape == (readable.sum(),)
    assert (durations > 0).all()
