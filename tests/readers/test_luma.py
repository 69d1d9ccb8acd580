"""The luma of a frame is what FFmpeg's scaler makes of it, to the bit, whichever way it is found."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from lusfx.readers.luma import TABLED, LumaScaler

UNSPECIFIED, LIMITED, FULL = ColorRange.UNSPECIFIED, ColorRange.MPEG, ColorRange.JPEG


def a_frame(
    pixel_format: str, height: int, width: int, colour_range: int, colour_space: int, seed: int
) -> av.VideoFrame:
    """A frame of noise."""
    random = np.random.default_rng(seed)
    frame = av.VideoFrame(width, height, pixel_format)
    for plane in frame.planes:
        content = np.frombuffer(memoryview(plane), np.uint8)
        content[:] = random.integers(0, 256, content.size)
    frame.color_range, frame.colorspace = colour_range, colour_space
    return frame


@pytest.mark.parametrize("pixel_format", [*sorted(TABLED), "gray", "yuv410p", "nv12", "rgb24", "yuv420p10le"])
@pytest.mark.parametrize("colour_range", [UNSPECIFIED, LIMITED, FULL])
@pytest.mark.parametrize("colour_space", [Colorspace.ITU601, Colorspace.ITU709, Colorspace.SMPTE240M, 2, 9])
def test_it_is_what_the_scaler_makes(pixel_format: str, colour_range: int, colour_space: int) -> None:
    scaler = LumaScaler()
    for seed, (height, width) in enumerate([(48, 64), (35, 61), (2, 6), (1, 1), (64, 350)]):
        frame = a_frame(pixel_format, height, width, int(colour_range), int(colour_space), seed)
        expected = LumaScaler().scaled(frame)
        found = scaler.grey(frame)
        assert found.shape == (height, width)
        np.testing.assert_array_equal(found, expected)
        assert found.flags.c_contiguous


@pytest.mark.parametrize(("colour_range", "ends"), [(LIMITED, (16, 235)), (FULL, (0, 255))])
def test_the_range_is_expanded_once(colour_range: int, ends: tuple[int, int]) -> None:
    frame = a_frame("yuv420p", 16, 16, int(colour_range), 2, 0)
    luma: NDArray[np.uint8] = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(16, -1)
    luma[:, :8], luma[:, 8:] = ends
    grey = LumaScaler().grey(frame)
    assert (grey[:, :8] == 0).all()
    assert (grey[:, 8:] == 255).all()


def test_frames_of_one_clip_may_differ_in_range() -> None:
    """A stream may change what it says of itself."""
    scaler = LumaScaler()
    for colour_range in (LIMITED, FULL, LIMITED):
        frame = a_frame("yuv420p", 20, 30, int(colour_range), 2, 1)
        np.testing.assert_array_equal(scaler.grey(frame), LumaScaler().scaled(frame))


def test_common_video_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    scaler, frame = LumaScaler(), a_frame("yuv420p", 20, 30, int(UNSPECIFIED), 2, 1)
    expected = scaler.grey(frame)

    def fail(_frame: av.VideoFrame) -> None:
        raise AssertionError("the scaler was asked")

    monkeypatch.setattr(scaler, "scaled", fail)
    np.testing.assert_array_equal(scaler.grey(frame), expected)
