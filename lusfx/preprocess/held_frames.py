"""The frames that a clip's beam is found on, held until it is: they can be prepared only afterwards.

At full size 32 frames of 3840 x 2160 are 265 MB, most of what decoding such a clip takes. Beyond a budget frames are held
compressed, losslessly. What fits into it, such as 32 frames of 1920 x 1080, is held as it is.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import numpy as np

from lusfx.types import Frame, FrameStatus, GreyImage

BUDGET_BYTES = 96 << 20
"""Held without compression, which takes about as long as decoding does."""
RAW_DEFLATE = -15


@dataclass(frozen=True, slots=True)
class _PackedFrame:
    """A frame whose pixels are differences from row to row, deflated."""

    index: int
    time_s: float
    status: FrameStatus
    height: int
    width: int
    packed: bytes

    @classmethod
    def of(cls, frame: Frame, pixels: GreyImage) -> _PackedFrame:
        differences = pixels.copy()
        differences[1:] -= pixels[:-1]
        # Runs alone are looked for: black is found by them, and speckle has no others. All matches take a quarter longer.
        deflate = zlib.compressobj(1, zlib.DEFLATED, RAW_DEFLATE, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
        packed = deflate.compress(differences.data) + deflate.flush()
        height, width = pixels.shape
        return cls(frame.index, frame.time_s, frame.status, height, width, packed)

    @property
    def pixels(self) -> GreyImage:
        inflated = bytearray(zlib.decompress(self.packed, RAW_DEFLATE, self.height * self.width))
        pixels = np.frombuffer(inflated, np.uint8).reshape(self.height, self.width)
        # numpy's accumulate goes down column by column, and takes thirty times as long.
        for above, row in pairwise(pixels):
            np.add(row, above, out=row)
        return pixels

    def unpacked(self) -> Frame:
        return Frame(self.index, self.time_s, self.pixels, self.status)


class HeldFrames:
    """Frames of one clip, in the order in which they were added."""

    def __init__(self) -> None:
        self._held: deque[Frame | _PackedFrame] = deque()
        self._plain_bytes = 0

    def add(self, frame: Frame) -> None:
        if frame.pixels is None:
            self._held.append(frame)
        elif self._plain_bytes + frame.pixels.nbytes <= BUDGET_BYTES:
            self._plain_bytes += frame.pixels.nbytes
            self._held.append(frame)
        else:
            self._held.append(_PackedFrame.of(frame, frame.pixels))

    def readable(self) -> Sequence[GreyImage]:
        """The images ``(height, width)`` of the readable frames, each unpacked when it is asked for."""
        return _Images([frame for frame in self._held if isinstance(frame, _PackedFrame) or frame.pixels is not None])

    def taken(self) -> Iterator[Frame]:
        """Every frame, once; what was given away is no longer held."""
        while self._held:
            frame = self._held.popleft()
            yield frame.unpacked() if isinstance(frame, _PackedFrame) else frame


class _Images(Sequence[GreyImage]):
    """The pixels of frames that have any."""

    def __init__(self, frames: Sequence[Frame | _PackedFrame]) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, index: int) -> GreyImage: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[GreyImage]: ...

    def __getitem__(self, index: int | slice) -> GreyImage | Sequence[GreyImage]:
        if isinstance(index, slice):
            return _Images(self._frames[index])
        pixels = self._frames[index].pixels
        assert pixels is not None
        return pixels
