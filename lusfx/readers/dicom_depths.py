"""How many bits of a sample are white (PS3.3 C.7.6.3.1, PS3.5 8.1.1): what is declared, unless the values contradict it.

A clip has one depth. It is taken from frames of the whole clip, since the first may be dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lusfx.readers.dicom_description import PixelDescription
from lusfx.types import Note

if TYPE_CHECKING:
    from pydicom import Dataset

DARK_BITS = 2
"""Where the greatest value leaves so many bits unused, the picture would be nearly black."""
OVERLAY_BIT_POSITION = 0x0102

Largest = Callable[[bool], int]
"""Gives the greatest value of some frames or, where asked, of all."""


def depth_of(described: PixelDescription, limit: int, dataset: Dataset, largest: Largest) -> tuple[int, set[Note]]:
    """Bits whose greatest value is white, and what there is to tell of it.

    :param described: what the header says.
    :param limit: bits that a sample can have, allocated or of the codestream.
    """
    stored = described.bits_stored - (described.is_signed and described.bits_stored > 8)
    declared = min(stored, limit) if stored > 0 else limit
    if declared == limit <= 8 or _has_overlay_bits(dataset):
        return declared, set()
    greatest = largest(False)
    is_dark = declared > 8 and greatest < 1 << (declared - DARK_BITS)
    if not is_dark and greatest < 1 << declared:
        return declared, set()
    greatest = largest(True)
    if greatest >= 1 << declared:
        by_high_bit = described.high_bit + 1
        if declared < by_high_bit <= limit and greatest < 1 << by_high_bit:
            return by_high_bit, set()
        return max(greatest.bit_length(), min(limit, 8)), {Note.DESCRIPTION_CORRECTED}
    if declared > 8 and 0 < greatest < 1 << (declared - DARK_BITS):
        return _bits_in_use(greatest, declared, dataset), {Note.GREY_RANGE_FROM_DATA}
    return declared, set()


def _bits_in_use(greatest: int, declared: int, dataset: Dataset) -> int:
    """The bits that the window or the stated greatest value needs, where they make sense; else those of the greatest value."""
    for top in (_window_top(dataset), _stated_largest(dataset)):
        if greatest <= top < 1 << (declared - DARK_BITS):
            return max(top.bit_length(), 8)
    return max(greatest.bit_length(), 8)


def _window_top(dataset: Dataset) -> int:
    try:
        centre, width = (float(np.atleast_1d(dataset.get(f"Window{name}"))[0]) for name in ("Center", "Width"))
    except (TypeError, ValueError, IndexError):
        return 0
    top = math.ceil(centre + width / 2) - 1 if math.isfinite(centre + width) else 0
    return max(top, 0)


def _stated_largest(dataset: Dataset) -> int:
    try:
        return int(dataset.get("LargestImagePixelValue") or 0)
    except (TypeError, ValueError):
        return 0


def _has_overlay_bits(dataset: Dataset) -> bool:
    """Whether bits above the stored ones are overlays, as they once could be (PS3.5 8.1.2)."""
    return any(
        tag >> 16 & 0xFF00 == 0x6000 and tag & 0xFFFF == OVERLAY_BIT_POSITION and bool(dataset[tag].value)
        for tag in map(int, dataset.keys())
    )
