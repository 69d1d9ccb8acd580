"""The pictures of an image file that are frames: a still, a TIFF's pages, an ImageJ stack's planes, an animation's pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Protocol

from lusfx.errors import UnreadableClipError
from lusfx.readers import imagej
from lusfx.readers.display import Display
from lusfx.readers.grey_range import GreyRange, Samples, range_of
from lusfx.readers.image_pages import ANIMATIONS, display_of, duration_s, frame_pages, shown_size
from lusfx.readers.image_samples import certain_bits, deep_luma, is_white_zero, may_be_deep, samples_of, stated_bits
from lusfx.readers.tiff_tags import tags_of
from lusfx.readers.video import MAX_PIXELS
from lusfx.types import Note, TimeSource

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
DECODING_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    MemoryError,
    RuntimeError,
)
"""What Pillow's decoders raise on damaged files."""


class Pictures(Protocol):
    """The pictures of a file that are frames."""

    n: int
    n_declared: int
    size: tuple[int, int]
    display: Display
    time_source: TimeSource
    notes: frozenset[Note]

    def samples(self, number: int) -> Samples:
        """Grey samples ``(height, width)`` of a picture; errors are those of :data:`DECODING_ERRORS`."""
        ...

    def duration_s(self) -> float:
        """For how long the picture that was read last is shown; NaN where the file does not say."""
        ...

    def grey_range(self) -> GreyRange:
        """What becomes of the samples."""
        ...


def open_pictures(stream: IO[bytes]) -> Pictures:
    """The pictures of an image file; raises what Pillow raises."""
    from PIL import Image

    image = Image.open(stream, formats=FORMATS)
    if not 0 < image.width * image.height <= MAX_PIXELS:
        raise UnreadableClipError("too-large", f"the image has {image.width} x {image.height} pixels")
    if image.format == "TIFF" and getattr(image, "n_frames", 1) == 1:
        tags = tags_of(image)
        order = "<" if tags.prefix == b"II" else ">"
        stack = imagej.PlaneStack.find(tags, order, os.fstat(stream.fileno()).st_size)
        if stack is not None and stack.n_held:
            return StackedPlanes(stream, image, stack)
    return Pages(stream, image)


class Pages:
    """Pictures as Pillow finds them."""

    def __init__(self, stream: IO[bytes], image: Image) -> None:
        self._stream, self._image = stream, image
        self._pages, left_out = frame_pages(image)
        self.n = len(self._pages)
        image.seek(self._pages[0])
        self.size, self.display = shown_size(image), display_of(image)
        fields = imagej.description_of(tags_of(image))
        self.n_declared = max(self.n, imagej.whole(fields, "images", 1))
        notes = {Note.OTHER_PICTURES_LEFT_OUT} if left_out else set()
        self.notes = frozenset(notes | ({Note.FEWER_FRAMES_THAN_DECLARED} if self.n < self.n_declared else set()))
        self._interval_s, self._display_bits = imagej.interval_s(fields), imagej.stated_bits(fields)
        is_timed = image.format in ANIMATIONS or not math.isnan(self._interval_s)
        many = TimeSource.CONTAINER if is_timed else TimeSource.UNKNOWN
        self.time_source = TimeSource.STILL if self.n == 1 else many

    def samples(self, number: int) -> Samples:
        self._image.seek(self._pages[number])
        samples = samples_of(self._image)
        return deep_luma(self._image, self._stream, samples) if self.n == 1 else samples

    def duration_s(self) -> float:
        return duration_s(self._image) if math.isnan(self._interval_s) else self._interval_s

    def grey_range(self) -> GreyRange:
        self._image.seek(self._pages[0])
        if not may_be_deep(self._image, self._stream):
            return GreyRange()
        stated = stated_bits(self._image, self._stream) or self._display_bits
        pictures = _readable(self)
        return range_of(pictures, certain_bits(self._image), stated, white_is_zero=is_white_zero(self._image))


class StackedPlanes:
    """The planes of an ImageJ stack."""

    def __init__(self, stream: IO[bytes], image: Image, stack: imagej.PlaneStack) -> None:
        fields = imagej.description_of(tags_of(image))
        self._stream, self._stack = stream, stack
        self.n, self.n_declared = stack.n_held, stack.n_declared
        self.size, self.display = (stack.shape[0], stack.shape[1]), display_of(image)
        self.notes = frozenset({Note.FEWER_FRAMES_THAN_DECLARED} if stack.n_held < stack.n_declared else ())
        self._interval_s, self._display_bits = imagej.interval_s(fields), imagej.stated_bits(fields)
        self.time_source = TimeSource.UNKNOWN if math.isnan(self._interval_s) else TimeSource.CONTAINER

    def samples(self, number: int) -> Samples:
        return self._stack.plane(self._stream, number)

    def duration_s(self) -> float:
        return self._interval_s

    def grey_range(self) -> GreyRange:
        if self._stack.dtype.itemsize == 1:
            return GreyRange()
        pictures = _readable(self)
        return range_of(pictures, None, self._display_bits, white_is_zero=self._stack.white_is_zero)


def _readable(pictures: Pictures) -> Iterator[Samples]:
    """Samples of the pictures that can be decoded."""
    for number in range(pictures.n):
        try:
            samples = pictures.samples(number)
        except DECODING_ERRORS:
            continue
        yield samples
