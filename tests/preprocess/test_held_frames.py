"""Frames that wait for their beam come back as they were, however large the clip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from lusfx.preprocess import held_frames
from lusfx.preprocess.held_frames import HeldFrames
from lusfx.types import Clip, ClipInfo, Frame, FrameStatus, Note, TimeSource

HEIGHT, WIDTH = 37, 53


class CountedClip:
    """A clip that counts how often it was opened. One frame in ten is unreadable."""

    def __init__(self, n_frames: int) -> None:
        self.info = ClipInfo("counted", HEIGHT, WIDTH, n_frames, TimeSource.CONTAINER)
        self.notes: frozenset[Note] = frozenset()
        self.n_frames = n_frames
        self.n_opened = 0
        self.n_closed = 0

    def frames(self) -> Iterator[Frame]:
        for number in range(self.n_frames):
            pixels = np.full((HEIGHT, WIDTH), number % 256, np.uint8)
            if number % 10 == 3:
                yield Frame(number, float("nan"), None, FrameStatus.UNREADABLE)
            else:
                yield Frame(number, number / 25, pixels)

    @contextmanager
    def reopen(self) -> Iterator[Clip]:
        self.n_opened += 1
        try:
            yield self
        finally:
            self.n_closed += 1


def assert_same(taken: list[Frame], clip: CountedClip) -> None:
    expected = list(clip.frames())
    assert [(frame.index, frame.status) for frame in taken] == [(frame.index, frame.status) for frame in expected]
    for one, other in zip(taken, expected, strict=True):
        np.testing.assert_equal(one.pixels, other.pixels)
        np.testing.assert_equal(one.time_s, other.time_s)


def test_a_clip_that_fits_is_decoded_once() -> None:
    clip = CountedClip(40)
    held = HeldFrames(clip, 8, clip.reopen)
    assert [int(image[0, 0]) for image in held.looked_at] == [n for n in range(40) if n % 10 != 3]
    assert_same(list(held.taken()), clip)
    assert clip.n_opened == 0


@pytest.mark.parametrize("budget", [0, 5 * HEIGHT * WIDTH])
@pytest.mark.parametrize("n_frames", [7, 200])
def test_a_clip_that_does_not_fit_is_decoded_again(budget: int, n_frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_frames, "BUDGET_BYTES", budget)
    clip = CountedClip(n_frames)
    held = HeldFrames(clip, 8, clip.reopen)
    looked_at = [int(image[0, 0]) for image in held.looked_at]
    assert len(looked_at) == 6 if n_frames == 7 else 4 <= len(looked_at) <= 8
    assert looked_at[0] == 0
    assert looked_at[-1] >= 0.8 * (n_frames - 1)
    assert np.ptp(np.diff(looked_at)) <= 2
    assert_same(list(held.taken()), clip)
    assert (clip.n_opened, clip.n_closed) == (1, 1)


def test_a_clip_that_is_left_early_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_frames, "BUDGET_BYTES", 0)
    clip = CountedClip(20)
    frames = HeldFrames(clip, 8, clip.reopen).taken()
    next(frames)
    frames.close()
    assert (clip.n_opened, clip.n_closed) == (1, 1)


def test_a_clip_that_cannot_be_opened_again_streams_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_frames, "BUDGET_BYTES", 5 * HEIGHT * WIDTH)
    clip = CountedClip(40)
    held = HeldFrames(clip, 8, None)
    assert len(held.looked_at) == 6
    assert_same(list(held.taken()), clip)


def test_a_clip_without_a_readable_frame_has_none_to_look_at() -> None:
    clip = CountedClip(4)
    unreadable = [Frame(n, float("nan"), None, FrameStatus.UNREADABLE) for n in range(4)]
    clip.frames = lambda: iter(unreadable)  # type: ignore[method-assign]
    assert HeldFrames(clip, 8, clip.reopen).looked_at == []
