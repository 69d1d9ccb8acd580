"""Grey samples of a picture that Pillow opened, as many bits of them as it has, and what its header says of them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import numpy as np

from lusfx.errors import UnreadableClipError
from lusfx.readers.grey_range import Samples
from lusfx.readers.tiff_tags import BITS_PER_SAMPLE, MAX_SAMPLE_VALUE, PHOTOMETRIC, SAMPLE_FORMAT, whole_tag

if TYPE_CHECKING:
    from PIL.Image import Image

SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
DARK = 1 << 6
"""A picture of 14 bits in 16 has no brighter grey level than this when 8 bits are kept."""
LUMA = np.array([0.299, 0.587, 0.114])


def samples_of(image: Image) -> Samples:
    """Luma (ITU-R BT.601) of an image, 8 bits, or the 16 bits of a grey one. Transparent pixels lie on black.

    :raises UnreadableClipError: of samples of which nothing says what their white is (``unsupported-pixel-format``).
    """
    from PIL import Image

    if image.mode in SIXTEEN_BIT_MODES:
        samples = np.array(image).astype(np.uint16)
        clear = image.info.get("transparency")
        if isinstance(clear, int):
            samples[samples == clear] = 0
        return samples
    if image.mode == "I":
        values = np.asarray(image)
        if (
            whole_tag(image, BITS_PER_SAMPLE, 16) == 16
            and values.min(initial=0) >= 0
            and values.max(initial=0) < 1 << 16
        ):
            return values.astype(np.uint16)
    is_signed = whole_tag(image, SAMPLE_FORMAT, 1) == 2 and whole_tag(image, BITS_PER_SAMPLE, 8) == 8
    if image.mode in ("I", "F") or is_signed:  # of signed bytes Pillow takes those below zero for the brightest
        raise UnreadableClipError("unsupported-pixel-format", "the image does not say which of its values is white")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    grey: Samples = np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB").convert("L"))
    return grey


def certain_bits(image: Image) -> int | None:
    """Bits of a sample where the format fixes them below 16: a TIFF of 12 bits, or of signed ones of which none is negative."""
    if image.format != "TIFF":
        return None
    bits = whole_tag(image, BITS_PER_SAMPLE, 16)
    if whole_tag(image, SAMPLE_FORMAT, 1) == 2 and bits == 16 and image.mode == "I":
        return 15
    return bits if 8 < bits < 16 else None


def stated_bits(image: Image, stream: IO[bytes]) -> int | None:
    """Bits in use by PNG's sBIT or TIFF's MaxSampleValue; None where neither is there."""
    if image.format == "TIFF":
        largest = whole_tag(image, MAX_SAMPLE_VALUE, 0)
        return largest.bit_length() or None
    return _significant_bits(stream) if image.format == "PNG" else None


def is_white_zero(image: Image) -> bool:
    """Whether a TIFF's largest 16-bit sample is black; of fewer bits Pillow turns them round itself."""
    return image.format == "TIFF" and image.mode in SIXTEEN_BIT_MODES and whole_tag(image, PHOTOMETRIC, 1) == 0


def deep_luma(image: Image, stream: IO[bytes], samples: Samples) -> Samples:
    """All 16 bits of a dark picture in colour or with transparency, of which Pillow keeps 8; else the samples as they are.

    :param samples: what Pillow made of it.
    """
    pipe = {"PNG": "png_pipe", "TIFF": "tiff_pipe"}.get(image.format or "")
    if pipe is None or samples.dtype != np.uint8 or samples.max(initial=0) >= DARK or not _is_deep(image, stream):
        return samples
    import av

    av.logging.set_level(av.logging.PANIC)
    options = {"protocol_whitelist": ""}
    try:
        with _elsewhere(stream, 0), av.open(stream, format=pipe, options=options, metadata_errors="ignore") as opened:
            frame = next(opened.decode(video=0))
            has_alpha = frame.format.name.startswith(("rgba", "ya"))
            values = frame.to_ndarray(format="rgba64le" if has_alpha else "rgb48le")
    except (av.FFmpegError, StopIteration, ValueError):
        return samples
    luma = values[..., :3] @ LUMA
    if has_alpha:
        luma *= values[..., 3] / 65535
    found = np.rint(luma).astype(np.uint16)
    return found if found.shape == samples.shape else samples


def may_be_deep(image: Image, stream: IO[bytes]) -> bool:
    """Whether the picture has more than 8 bits a sample."""
    return image.mode == "I" or image.mode in SIXTEEN_BIT_MODES or _is_deep(image, stream)


def _is_deep(image: Image, stream: IO[bytes]) -> bool:
    if image.format == "TIFF":
        return whole_tag(image, BITS_PER_SAMPLE, 8) == 16
    with _elsewhere(stream, 24):  # IHDR's bit depth (PNG, 11.2.1)
        return image.format == "PNG" and stream.read(1) == b"\x10"


def _significant_bits(stream: IO[bytes]) -> int | None:
    """The greatest of sBIT (PNG, 11.3.2.4), which stands before the pixels."""
    with _elsewhere(stream, 8):
        while len(head := stream.read(8)) == 8:
            size, kind = struct.unpack(">L4s", head)
            if kind == b"sBIT" and 0 < size <= 4:
                return max(stream.read(size)[:3], default=None)
            if kind == b"IDAT":
                break
            stream.seek(size + 4, 1)
    return None


@contextmanager
def _elsewhere(stream: IO[bytes], place: int) -> Iterator[None]:
    """Read at a place and go back: Pillow goes on where it stopped."""
    before = stream.tell()
    stream.seek(place)
    try:
        yield
    finally:
        stream.seek(before)
