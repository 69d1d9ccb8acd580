"""ImageJ's stacks: a TIFF of one directory, behind whose first plane all the others lie.

ImageJ writes so what would not fit otherwise, and says it in the description: ``images=20``. See its ``TiffDecoder``. Python's
tifffile writes the same if it is asked to truncate, and describes it as ``{"shape": [20, 96, 128]}``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from lusfx.readers.grey_range import Samples
from lusfx.readers.tiff_tags import (
    BITS_PER_SAMPLE,
    COLOUR_MAP,
    COMPRESSION,
    DESCRIPTION,
    HEIGHT,
    PHOTOMETRIC,
    PLANAR_CONFIGURATION,
    SAMPLES_PER_PIXEL,
    STRIP_BYTE_COUNTS,
    STRIP_OFFSETS,
    WIDTH,
)
from lusfx.types import GreyImage

UNIT_S: Final[Mapping[str, float]] = {
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec"), 1e-3),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
}
SHAPED: Final = '{"shape":'
LUMA: Final = np.array([0.299, 0.587, 0.114])


def description_of(tags: Mapping[int, Any]) -> Mapping[str, str]:
    """The fields of ImageJ's description, or of tifffile's what they are called there; empty of any other TIFF."""
    text = tags.get(DESCRIPTION, "")
    if isinstance(text, str) and text.startswith(SHAPED):
        return _fields_of_shape(text, tags)
    if not isinstance(text, str) or not text.startswith("ImageJ="):
        return {}
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _fields_of_shape(text: str, tags: Mapping[int, Any]) -> Mapping[str, str]:
    try:
        n_samples = math.prod(int(length) for length in json.loads(text)["shape"])
        in_plane = int(tags[HEIGHT]) * int(tags[WIDTH]) * int(tags.get(SAMPLES_PER_PIXEL, 1))
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return {"images": str(n_samples // in_plane)} if in_plane > 0 and n_samples % in_plane == 0 else {}


def interval_s(fields: Mapping[str, str]) -> float:
    """Seconds between planes; NaN where the stack does not say, or holds several planes of one time."""
    n_of_one_time = whole(fields, "channels", 1) * whole(fields, "slices", 1)
    try:
        interval = float(fields["finterval"]) * UNIT_S[fields.get("tunit", "").strip().lower()]
    except (KeyError, ValueError):
        return math.nan
    return interval if n_of_one_time == 1 and 0 < interval < math.inf else math.nan


def stated_bits(fields: Mapping[str, str]) -> int | None:
    """Bits that ImageJ's display range needs."""
    try:
        largest = float(fields["max"])
    except (KeyError, ValueError):
        return None
    return int(largest).bit_length() if 0 < largest < 1 << 16 else None


def whole(fields: Mapping[str, str], name: str, default: int) -> int:
    """A field that is a count."""
    text = fields.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default


@dataclass(frozen=True, slots=True)
class PlaneStack:
    """Where the planes of a stack lie.

    :param n_declared: planes that the description states.
    :param n_held: planes for which the file is long enough.
    :param lookup: luma of the samples of a picture with a palette.
    """

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    n_declared: int
    n_held: int
    white_is_zero: bool
    lookup: NDArray[np.uint8] | None

    @classmethod
    def find(cls, tags: Mapping[int, Any], byte_order: str, n_bytes: int) -> PlaneStack | None:
        """The stack of a TIFF of one directory; None where there is none, or it lies otherwise than ImageJ puts it.

        :param byte_order: ``<`` or ``>``.
        :param n_bytes: length of the file.
        """
        fields = description_of(tags)
        n_declared = whole(fields, "images", 1)
        if n_declared < 2:
            return None
        bits, samples = set(tags.get(BITS_PER_SAMPLE, (1,))), int(tags.get(SAMPLES_PER_PIXEL, 1))
        offsets, counts = tags.get(STRIP_OFFSETS, ()), tags.get(STRIP_BYTE_COUNTS, ())
        is_contiguous = all(a + n == b for a, n, b in zip(offsets, counts, offsets[1:], strict=False))
        if not offsets or not is_contiguous or tags.get(COMPRESSION, 1) != 1:
            return None
        if (bits, samples) not in (({8}, 1), ({16}, 1), ({8}, 3)) or tags.get(PLANAR_CONFIGURATION, 1) != 1:
            return None
        dtype = np.dtype(f"{byte_order}u2" if bits == {16} else "u1")
        shape = (int(tags[HEIGHT]), int(tags[WIDTH]), *((3,) if samples == 3 else ()))
        plane_bytes = math.prod(shape) * dtype.itemsize
        if not plane_bytes:
            return None
        n_held = min(n_declared, max(n_bytes - offsets[0], 0) // plane_bytes)
        lookup = _lookup(tags.get(COLOUR_MAP, ())) if tags.get(PHOTOMETRIC) == 3 and bits == {8} else None
        return cls(offsets[0], shape, dtype, n_declared, n_held, tags.get(PHOTOMETRIC) == 0, lookup)

    def plane(self, stream: IO[bytes], number: int) -> Samples:
        """The samples of a plane.

        :raises OSError: if the file ends within it.
        """
        n_bytes = math.prod(self.shape) * self.dtype.itemsize
        stream.seek(self.start + number * n_bytes)
        content = stream.read(n_bytes)
        if len(content) < n_bytes:
            raise OSError("the file ends within a plane")
        samples: NDArray[Any] = np.frombuffer(content, self.dtype).reshape(self.shape)
        if len(self.shape) == 3:
            return _luma(samples)
        if self.lookup is not None:
            found: GreyImage = self.lookup[samples]
            return found
        if self.dtype.itemsize == 2:
            return samples.astype(np.uint16)
        grey: GreyImage = samples.astype(np.uint8)
        return np.invert(grey) if self.white_is_zero else grey


def _lookup(colour_map: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """Luma of each of 256 colours (TIFF 6.0, ColorMap: all reds, all greens, all blues, of 16 bits)."""
    if len(colour_map) != 768:
        return None
    colours = np.array(colour_map).reshape(3, 256) >> 8
    return _luma(colours.T)


def _luma(colours: NDArray[Any]) -> NDArray[np.uint8]:
    luma: NDArray[np.uint8] = np.rint(colours @ LUMA).astype(np.uint8)
    return luma
