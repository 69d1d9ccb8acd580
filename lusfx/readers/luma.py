"""Full-range luma of decoded video frames, whatever their pixel format and range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.types import GreyImage

if TYPE_CHECKING:
    import av

TABLED = frozenset({"yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p"})
"""Pixel formats whose first plane is the luma, a byte a pixel."""
TRIAL_ROWS = 64
"""Places at which each grey level is tried; the scaler's dither repeats every 8 rows and columns."""

Look = tuple[str, int, int, int, int]
"""What the scaler goes by: pixel format, range, colour space, primaries and transfer characteristic."""


class LumaScaler:
    """Makes the frames of one clip grey.

    Most video is limited range (16 to 235); FFmpeg's scaler expands it, once, by what a frame says of itself. Where it makes
    each grey level another one by itself, which is so unless it goes by way of colours, the levels are looked up in what it
    makes of them: the same to the bit, and faster.
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        # One reformatter for all frames: the per-frame methods build a scaler each time, which takes twice as long.
        self._reformatter = VideoReformatter()
        self._tables: dict[Look, bytes | None] = {}

    def grey(self, frame: av.VideoFrame) -> GreyImage:
        """The luma ``(height, width)`` of a frame, 0 black to 255 white."""
        if frame.format.name in TABLED and frame.planes[0].line_size >= frame.width:
            look = _look_of(frame)
            if look not in self._tables:
                self._tables[look] = _table(look)
            table = self._tables[look]
            if table is not None:
                luma = _first_plane(frame)
                return np.frombuffer(luma.tobytes().translate(table), np.uint8).reshape(luma.shape)
        return self.scaled(frame)

    def scaled(self, frame: av.VideoFrame) -> GreyImage:
        """The same by FFmpeg's scaler, of any frame."""
        from av.video.reformatter import ColorRange

        return _first_plane(self._reformatter.reformat(frame, format="gray", dst_color_range=ColorRange.JPEG)).copy()


def _look_of(frame: av.VideoFrame) -> Look:
    return frame.format.name, frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc


def _first_plane(frame: av.VideoFrame) -> GreyImage:
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(frame.height, plane.line_size)
    return rows[:, : frame.width]


def _table(look: Look) -> bytes | None:
    """What the scaler makes of each grey level, 256 bytes; None where that depends on a pixel's place or colour."""
    levels = np.arange(256, dtype=np.uint8)
    tried = np.stack([np.roll(levels, 37 * row) for row in range(TRIAL_ROWS)])
    scaled = LumaScaler().scaled(_trial_frame(look, tried))
    table = np.empty(256, np.uint8)
    table[tried] = scaled
    return table.tobytes() if np.array_equal(table[tried], scaled) else None


def _trial_frame(look: Look, luma: NDArray[np.uint8]) -> av.VideoFrame:
    """A frame of many colours."""
    import av

    height, width = luma.shape
    frame = av.VideoFrame(width, height, look[0])
    for plane in frame.planes:
        content = np.frombuffer(memoryview(plane), np.uint8)
        content[:] = np.arange(content.size, dtype=np.uint64) * 89 % 251
    _first_plane(frame)[:] = luma
    _, frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc = look
    return frame
