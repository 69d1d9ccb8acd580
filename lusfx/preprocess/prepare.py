"""From a clip's frames to the images that an encoder is given: mask, crop, pad, resize. One mask a clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lusfx.config import PreprocessSpec
from lusfx.errors import UnreadableClipError
from lusfx.preprocess.beam import Beam, BeamShape, find_beam, whole_frame
from lusfx.preprocess.held_frames import HeldFrames, Reopen
from lusfx.preprocess.resize import group_size, resized
from lusfx.preprocess.sampling import FrameSampler
from lusfx.types import Clip, Frame, FrameStatus, GreyImage, Note


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """One frame as the encoder sees it.

    :param index: position in the source; ``time_s`` seconds after the first frame.
    :param image: ``(size, size)`` uint8; None exactly where ``status`` is not OK.
    """

    index: int
    time_s: float
    image: NDArray[np.uint8] | None
    status: FrameStatus


class FrameTransform:
    """Blank outside the beam, crop to it, pad to a square, resize.

    :param beam: of all frames that will be given.
    """

    def __init__(self, beam: Beam, spec: PreprocessSpec) -> None:
        from PIL import Image

        self.spec = spec
        height, width = beam.mask.shape
        box = beam.box
        self._rows = slice(box.y0, box.y1) if spec.crop == "beam" else slice(0, height)
        self._columns = slice(box.x0, box.x1) if spec.crop == "beam" else slice(0, width)
        self._inside = beam.mask[self._rows, self._columns].astype(np.uint8)
        self._resample = Image.Resampling[spec.resample.upper()]

    def crop(self, pixels: GreyImage) -> GreyImage:
        """The beam on black, padded to a square with black, centred."""
        height, width = self._inside.shape
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        square = np.zeros((side, side), np.uint8)
        inside = square[top : top + height, left : left + width]
        np.multiply(pixels[self._rows, self._columns], self._inside, out=inside)
        return square

    def __call__(self, pixels: GreyImage) -> NDArray[np.uint8]:
        """The encoder's input ``(size, size)``."""
        return next(self.all_of([pixels]))

    def all_of(self, frames: Sequence[GreyImage]) -> Iterator[NDArray[np.uint8]]:
        """The encoder's inputs, each ``(size, size)``; four frames cost less than as many one by one."""
        size = (self.spec.size, self.spec.size)
        return resized(map(self.crop, frames), size, self._resample)


class PreparedClip:
    """A clip with its beam found on frames of all of it.

    :raises UnreadableClipError: if no frame can be read.
    """

    def __init__(self, clip: Clip, spec: PreprocessSpec, reopen: Reopen | None) -> None:
        self._spec = spec
        self._frames: Iterator[Frame]
        self._sampler: FrameSampler | None = None
        info = clip.info
        # The times of all frames say what a step of the clip is: a sampled clip is held even where no beam is to be found.
        held = HeldFrames(clip, spec.beam_frames, reopen) if spec.beam == "detect" or spec.fps is not None else None
        if held is not None and not held.looked_at:
            raise UnreadableClipError("no-frames", "no frame of the clip could be decoded")
        if held is not None and spec.beam == "detect":
            self.beam = find_beam(held.looked_at, info.region, spec.beam_min_confidence)
        else:
            self.beam = whole_frame(info.height, info.width, info.region, confidence=1.0)
        if held is not None and spec.fps is not None:
            self._sampler = FrameSampler.of(held.times_s[:: spec.stride], spec.fps)
        self._frames = clip.frames() if held is None else held.taken()
        self.transform = FrameTransform(self.beam, spec)

    @property
    def notes(self) -> frozenset[Note]:
        """What preprocessing has to tell of the clip."""
        if self._spec.beam == "off":
            return frozenset()
        told = {
            Note.BEAM_NOT_FOUND: self.beam.shape is BeamShape.UNKNOWN,
            Note.SEVERAL_B_MODE_REGIONS: self.beam.several,
            Note.REGION_IGNORED: self.beam.region_ignored,
        }
        return frozenset(note for note, holds in told.items() if holds)

    def frames(self) -> Iterator[PreparedFrame]:
        """The frames that are to be encoded, prepared; unreadable ones with their status."""
        wanted = filter(self._is_wanted, self.source_frames())
        together = group_size(self.beam.mask.size)
        while some := list(islice(wanted, together)):
            yield from self._prepared(some)

    def _is_wanted(self, frame: Frame) -> bool:
        """Whether the next frame is one that the stride meets and the sampler takes."""
        if frame.index % self._spec.stride:
            return False
        return self._sampler is None or self._sampler.takes(frame.time_s)

    def _prepared(self, frames: Sequence[Frame]) -> Iterator[PreparedFrame]:
        images = self.transform.all_of([frame.pixels for frame in frames if frame.pixels is not None])
        for frame in frames:
            image = None if frame.pixels is None else next(images)
            yield PreparedFrame(frame.index, frame.time_s, image, frame.status)

    def source_frames(self) -> Iterator[Frame]:
        """Every frame as the reader gave it; once, and in place of :meth:`frames`."""
        return self._frames


def prepare(clip: Clip, spec: PreprocessSpec, reopen: Reopen | None = None) -> PreparedClip:
    """Find a clip's beam and prepare its frames for an encoder.

    :param reopen: opens the clip once more; without it a clip that is too large to be held has its beam found on the frames
        that can be.
    :raises UnreadableClipError: if no frame can be read.
    """
    return PreparedClip(clip, spec, reopen)
