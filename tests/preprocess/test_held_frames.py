"""Frames that wait for their beam come back as they were."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.preprocess import held_frames
from lusfx.preprocess.held_frames import HeldFrames
from lusfx.types import Frame, FrameStatus


@pytest.mark.parametrize("budget", [0, 3 * 37 * 53, 1 << 26])
def test_frames_come_back_as_they_were(
    budget: int, generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_frames, "BUDGET_BYTES", budget)
    images = generator.integers(0, 256, (8, 37, 53), dtype=np.uint8)
    images[5] = 0
    frames = [Frame(number, number / 25, image) for number, image in enumerate(images)]
    frames.insert(4, Frame(99, float("nan"), None, FrameStatus.UNREADABLE))
    held = HeldFrames()
    for frame in frames:
        held.add(frame)
    readable = held.readable()
    assert len(readable) == len(images)
    for image, one in zip(images, readable, strict=True):
        np.testing.assert_array_equal(one, image)
    for frame, taken in zip(frames, held.taken(), strict=True):
        assert (taken.index, taken.status) == (frame.index, frame.status)
        np.testing.assert_equal(taken.time_s, frame.time_s)
        np.testing.assert_equal(taken.pixels, frame.pixels)
    assert list(held.taken()) == []


def test_beyond_the_budget_black_takes_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_frames, "BUDGET_BYTES", 0)
    pixels = np.zeros((400, 500), np.uint8)
    pixels[100:200, 100:300] = 70
    held = HeldFrames()
    held.add(Frame(0, 0.0, pixels))
    (packed,) = held._held
    assert isinstance(packed, held_frames._PackedFrame)
    assert len(packed.packed) < pixels.size / 50
