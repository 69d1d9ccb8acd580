"""Palettes as the luma of each stored value (PS3.3 C.7.6.3.1.5 and .6, C.7.6.19, C.7.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import UnreadableClipError
from lusfx.readers.dicom_codecs import luma
from lusfx.readers.files import quiet
from lusfx.types import GreyImage

if TYPE_CHECKING:
    from pydicom import Dataset

COLOURS = ("Red", "Green", "Blue")


def palette_of(dataset: Dataset, bits_allocated: int, *, big_endian: bool) -> GreyImage:
    """Luma of each value that a sample can have, ``(2 ** bits_allocated,)``; below the first mapped value that of the first.

    :raises UnreadableClipError: ``damaged``.
    """
    try:
        with quiet():
            first, colours = _colours(dataset, big_endian)
    except Exception as error:
        raise UnreadableClipError("damaged", f"the colour palette is damaged ({type(error).__name__})") from None
    n_values = 1 << bits_allocated
    # A first value below 0 is written as one of two bytes without a sign.
    first -= (1 << 16) if first >= max(n_values, 1 << 15) else 0
    return np.take(luma(colours), np.arange(n_values) - first, mode="clip")


def supplemental_palette_of(dataset: Dataset, bits_allocated: int, *, big_endian: bool) -> GreyImage | None:
    """The same of a grey picture with colours above the greys (PS3.3 C.7.6.19); None where it has none.

    Greys lie below the first mapped value and use as many bits as they need for it. A palette that begins at 0 leaves none, and
    is a left-over of another picture.
    """
    descriptor = dataset.get("RedPaletteColorLookupTableDescriptor")
    if descriptor is None or dataset.get("RedPaletteColorLookupTableData") is None:
        return None
    try:
        first = int(descriptor[1])
    except (IndexError, TypeError, ValueError):
        return None
    if not 0 < first < 1 << bits_allocated:
        return None
    table = palette_of(dataset, bits_allocated, big_endian=big_endian)
    table[:first] = np.arange(first) >> max((first - 1).bit_length() - 8, 0)
    return table


def _colours(dataset: Dataset, big_endian: bool) -> tuple[int, NDArray[np.uint8]]:
    """The first mapped value, and the colours from there on ``(n_entries, 3)``."""
    if dataset.get("RedPaletteColorLookupTableData") is None:
        return _segmented(dataset)
    n_entries = int(dataset.RedPaletteColorLookupTableDescriptor[0]) or 1 << 16
    first = int(dataset.RedPaletteColorLookupTableDescriptor[1])
    tables = [_entries(dataset, colour, n_entries, big_endian) for colour in COLOURS]
    shortest = min(map(len, tables))
    if shortest == 0:
        raise ValueError("a table without entries")
    colours = np.stack([table[:shortest] for table in tables], axis=-1)
    # Entries of 16 bits whose greatest is below 256 hold 8.
    return first, (colours >> 8 if int(colours.max()) > 255 else colours).astype(np.uint8)


def _entries(dataset: Dataset, colour: str, n_entries: int, big_endian: bool) -> NDArray[np.uint16]:
    """One colour's table: two bytes an entry, or packed two to a word, whatever its descriptor says."""
    value = dataset[f"{colour}PaletteColorLookupTableData"].value
    content = (
        bytes(value)
        if isinstance(value, bytes | bytearray)
        else np.asarray(value, ">u2" if big_endian else "<u2").tobytes()
    )
    if len(content) >= 2 * n_entries:
        return np.frombuffer(content, ">u2" if big_endian else "<u2", n_entries).astype(np.uint16)
    packed = np.frombuffer(content, np.uint8)
    if big_endian and len(packed) % 2 == 0:
        packed = packed.reshape(-1, 2)[:, ::-1].reshape(-1)
    bits = int(dataset[f"{colour}PaletteColorLookupTableDescriptor"].value[2])
    if bits == 16 and len(content) < n_entries:
        return np.frombuffer(content, ">u2" if big_endian else "<u2", len(content) // 2).astype(np.uint16)
    return packed[:n_entries].astype(np.uint16)


def _segmented(dataset: Dataset) -> tuple[int, NDArray[np.uint8]]:
    """A palette in segments, which pydicom joins (PS3.3 C.7.9.2)."""
    from pydicom.pixels import apply_color_lut

    descriptor = dataset.RedPaletteColorLookupTableDescriptor
    n_entries, first = int(descriptor[0]) or 1 << 16, int(descriptor[1])
    colours = apply_color_lut(np.arange(first, first + n_entries, dtype=np.uint16), dataset)
    return first, (colours >> 8 if int(colours.max()) > 255 else colours).astype(np.uint8)
