"""Frames are chosen by their times: evenly, without drift, at any rate of the clip; of unknown times, all."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lusfx.preprocess.sampling import FrameSampler

Times = NDArray[np.float64]
RATES = st.floats(0.5, 120)


def taken(times_s: Times | list[float], fps: float) -> list[int]:
    """Positions of the frames that are taken."""
    times = [float(time_s) for time_s in times_s]
    sampler = FrameSampler.of(times, fps)
    return [position for position, time_s in enumerate(times) if sampler.takes(time_s)]


@st.composite
def trembling(draw: st.DrawFn) -> tuple[float, Times]:
    """A steady clip, its rate and its times, each up to a fifth of a step off."""
    rate, n_frames = draw(RATES), draw(st.integers(2, 200))
    off = np.random.default_rng(draw(st.integers(0, 99))).uniform(-0.2, 0.2, n_frames) * draw(st.sampled_from([0, 1]))
    return rate, (np.arange(n_frames) + off) / rate


@pytest.mark.parametrize(
    ("fps", "steps"), [(12.5, {2}), (12, {2, 3}), (6.25, {4}), (6, {4, 5}), (5, {5}), (3, {8, 9}), (1, {25})]
)
def test_of_25_a_second_evenly_spaced_ones_are_taken(fps: float, steps: set[int]) -> None:
    times_s = np.arange(25 * 60) / 25
    found = taken(times_s, fps)
    assert {later - earlier for earlier, later in pairwise(found)} == steps
    assert len(found) == 60 * fps
    np.testing.assert_allclose(times_s[found], np.arange(len(found)) / fps, atol=0.5 / 25 + 1e-9)


@given(trembling(), RATES)
def test_no_more_are_taken_than_asked_for_and_each_near_its_time(clip: tuple[float, Times], fps: float) -> None:
    rate, times_s = clip
    found = taken(times_s, fps)
    assert found[0] == 0
    elapsed_s = times_s[found] - times_s[0]
    # What was taken so far is never more than the multiples of 1 / fps up to half a step ahead.
    step_s = float(np.median(np.diff(times_s)))
    assert (np.arange(len(found)) <= (elapsed_s + step_s / 2) * fps + 1e-6).all()
    if rate > 2 * fps:
        # A frame for each multiple: the nearest, but for what the times tremble.
        np.testing.assert_allclose(elapsed_s, np.arange(len(found)) / fps, atol=1.0 / rate)
        assert len(found) >= math.floor(float(times_s[-1] - times_s[0]) * fps)


@given(trembling(), st.floats(1, 3))
def test_a_clip_of_no_more_frames_a_second_keeps_all(clip: tuple[float, Times], more: float) -> None:
    rate, times_s = clip
    assert taken(times_s, rate * more) == list(range(len(times_s)))


@pytest.mark.parametrize(("rate", "fps"), [(24000 / 1001, 24), (30000 / 1001, 30), (25, 25), (30.001, 30), (50, 50)])
def test_times_rounded_to_milliseconds_lose_no_frame(rate: float, fps: float) -> None:
    times_s = np.round(np.arange(1000) / rate, 3)
    assert taken(times_s, fps) == list(range(1000))


@given(st.lists(st.floats(0.001, 2), min_size=1, max_size=150), st.floats(0.5, 60))
def test_a_variable_rate_is_sampled_by_its_times(steps_s: list[float], fps: float) -> None:
    times_s = np.cumsum([0.0, *steps_s])
    found = taken(times_s, fps)
    assert found[0] == 0
    early_s = min(float(np.median(steps_s)), 1 / fps) / 2
    for earlier, later in pairwise(found):
        # What lies between two taken frames is before the multiple that the later one is for.
        passed = times_s[earlier + 1 : later]
        due_s = (math.floor((times_s[later] + early_s) * fps + 1e-6)) / fps
        assert (passed + early_s * (1 - 1e-6) < due_s + 1e-9).all()
    # No stretch as long as a period and the half steps at its ends is without a frame, if it has any.
    for one, frame_s in enumerate(times_s):
        near = [position for position in found if abs(times_s[position] - frame_s) <= 1 / fps + 2 * early_s + 1e-9]
        assert near, f"frame {one}"


def test_after_a_pause_no_frames_are_owed() -> None:
    times_s = np.concatenate([np.arange(50) / 50, 20 + np.arange(50) / 50])
    found = np.array(taken(times_s, 5))
    assert (found < 50).sum() == 5
    assert np.diff(times_s[found[found >= 50]]).min() > 0.15


def test_a_still_is_taken() -> None:
    assert taken([0.0], 3) == [0]
    assert taken([math.nan], 3) == [0]


def test_of_unknown_times_all_are_taken() -> None:
    assert taken([math.nan] * 40, 3) == list(range(40))
    assert taken([0.0, *[math.nan] * 39], 3) == list(range(40))
    assert taken([0.0, math.inf, -math.inf], 3) == [0, 1, 2]


def test_frames_of_unknown_times_are_taken_and_the_others_sampled() -> None:
    times_s = np.arange(100) / 25
    times_s[[0, 1, 30, 77]] = np.nan
    found = taken(times_s, 5)
    assert {0, 1, 2, 30, 77} <= set(found)
    timed = [position for position in found if position not in (0, 1, 30, 77)]
    assert [position for position in timed if position < 30] == [2, 7, 12, 17, 22, 27]


def test_without_a_known_step_half_a_period_is_near() -> None:
    sampler = FrameSampler.of([], 10)
    assert [sampler.takes(time_s) for time_s in (0.0, 0.04, 0.08, 0.12)] == [True, False, True, False]
