"""How many bits of a 16-bit picture are in use.

Where a camera's 12 bits lie in the lower part of 16, nothing in the picture is white: by what the file states all is black.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.types import GreyImage

Samples = NDArray[np.uint8] | NDArray[np.uint16]
"""Stored grey samples ``(height, width)``."""

CONTAINER_BITS = 16
DEPTHS = (8, 10, 12, 14)
"""What converters have between 8 and 16 bits. Of 15 bits half the range is in use, and the picture shows."""


@dataclass(frozen=True, slots=True)
class GreyRange:
    """What becomes of stored samples.

    :param bits: of a sample that are in use; of more than 8 the upper 8 are kept.
    :param is_guessed: whether the data were asked, because what the file says leaves the picture black.
    :param white_is_zero: whether the largest sample is black.
    """

    bits: int = CONTAINER_BITS
    is_guessed: bool = False
    white_is_zero: bool = False

    def grey(self, samples: Samples) -> GreyImage:
        """Samples as grey levels; those of 8 bits as they are."""
        if samples.dtype == np.uint8:
            return eight_bits(samples, 8)
        grey = eight_bits(samples, self.bits)
        return np.invert(grey) if self.white_is_zero else grey


def eight_bits(samples: NDArray[np.integer[Any]], depth: int) -> NDArray[np.uint8]:
    """Samples scaled so that the greatest value of this depth is white; what lies beyond is white too."""
    if samples.dtype.itemsize > 1 or depth < 8:
        samples = np.minimum(samples, (1 << depth) - 1)
    if depth > 8:
        return (samples >> (depth - 8)).astype(np.uint8)
    if depth < 8:
        return (samples.astype(np.uint16) * 255 // ((1 << depth) - 1)).astype(np.uint8)
    return samples.astype(np.uint8, copy=False)


def range_of(
    pictures: Iterable[Samples], certain: int | None, stated: int | None, *, white_is_zero: bool = False
) -> GreyRange:
    """The range of a clip.

    :param pictures: all of its pictures; they are looked at until one is seen that needs 16 bits.
    :param certain: bits of a sample where the format fixes them, as a TIFF of 12 bits does.
    :param stated: bits in use by a field that is not meant for display (PNG's sBIT, TIFF's MaxSampleValue); believed where
        the samples fit in them and would be black without.
    """
    if certain is not None:
        return GreyRange(certain, white_is_zero=white_is_zero)
    largest = 0
    for samples in pictures:
        if samples.dtype == np.uint8:
            return GreyRange()
        largest = max(largest, int(samples.max(initial=0)))
        if largest >= 1 << DEPTHS[-1]:
            return GreyRange(white_is_zero=white_is_zero)
    if largest == 0:
        return GreyRange(white_is_zero=white_is_zero)
    wanted = (*(() if stated is None or not 8 <= stated < CONTAINER_BITS else (stated,)), *DEPTHS)
    bits = next(depth for depth in wanted if largest < 1 << depth)
    return GreyRange(bits, is_guessed=True, white_is_zero=white_is_zero)
