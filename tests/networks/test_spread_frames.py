"""Frames that are evenly spaced over a clip whose length shows at its end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lusfx.networks.spread_frames import SpreadFrames


def numbers(n: int, most: int, fewer: int | None = None) -> list[int]:
    """Which of n frames are chosen."""
    frames = SpreadFrames(most)
    for number in range(n):
        frames.add(float(number), np.full((2, 2), number % 251, np.uint8))
    images, times_s = frames.chosen(fewer or most)
    assert frames.n_added == n
    assert images.shape == (len(times_s), 2, 2)
    np.testing.assert_array_equal(images[:, 0, 0], times_s % 251)
    return [int(time_s) for time_s in times_s]


@pytest.mark.parametrize(
    ("n", "most", "expected"),
    [
        (1, 4, [0]),
        (4, 4, [0, 1, 2, 3]),
        (5, 4, [0, 1, 3, 4]),
        (15, 4, [0, 5, 9, 14]),
        (16, 4, [0, 4, 10, 14]),
        (1000, 1, [0]),
        (1000, 3, [0, 512, 896]),
    ],
)
def test_the_chosen_frames_are_spread_over_the_clip(n: int, most: int, expected: list[int]) -> None:
    assert numbers(n, most) == expected


@given(st.integers(1, 600), st.integers(1, 20), st.data())
def test_fewer_are_those_that_fewer_would_have_been_from_the_start(n: int, most: int, data: st.DataObject) -> None:
    fewer = data.draw(st.integers(1, most))
    assert numbers(n, most, fewer) == numbers(n, fewer)


def test_what_is_held_does_not_grow_with_the_clip() -> None:
    frames = SpreadFrames(3)
    for number in range(5000):
        frames.add(number, np.zeros((2, 2), np.uint8))
        assert len(frames._kept) < 12


def test_a_frame_is_a_copy() -> None:
    frames, portion = SpreadFrames(2), np.zeros((8, 2, 2), np.uint8)
    frames.add(0.0, portion[0])
    portion[:] = 9
    assert not frames.chosen(2)[0].any()
