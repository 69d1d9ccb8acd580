"""Where in a DICOM frame the B-mode image is (PS3.3 C.8.5.5, US Region Calibration)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from lusfx.errors import SkippedClipError
from lusfx.readers.dicom_values import number, whole_number
from lusfx.readers.files import quiet
from lusfx.types import Box, Note

if TYPE_CHECKING:
    from pydicom import Dataset

FORMAT_2D, FORMAT_M_MODE, FORMAT_SPECTRAL, FORMAT_WAVE_FORM, FORMAT_GRAPHICS = range(1, 6)
"""Region Spatial Format (0018,6012); 0 is *none or not applicable*."""
DATA_TISSUE = 1
"""Region Data Type (0018,6014): tissue; 0 is *none*. Colour flow is 2: it lies over a tissue region of its own."""
DATA_OF_OTHER_MODES = frozenset({2, 3, 4, 5, 6, 7, 0x0F})
"""Colour flow, spectral Doppler and its traces, integrated backscatter."""
DATA_BESIDE_AN_IMAGE = frozenset({8, 9, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x10, 0x11, 0x12})
"""Volume and area traces, ECG, pulse, phonocardiogram, bars of grey and colour, other signals."""
MIN_SIDE = 16
"""A smaller region is no image, whatever it is declared to be."""
ROUNDING = 4
"""Pixels by which a region may reach beyond its frame: writers count from 0 or from 1, and crop blocks of a codec."""
CENTIMETRES = 3
"""Physical Units X and Y Direction (0018,6024), (0018,6026)."""


class Kind(Enum):
    """What an item declares."""

    B_MODE = auto()
    OTHER_MODE = auto()
    HALF_STATED = auto()
    """Two dimensions of nobody says what, or tissue in nobody says which format."""
    NOTHING = auto()
    """Says nothing, or tells of what stands beside an image."""


@dataclass(frozen=True, slots=True)
class BModeRegion:
    """What a file's region items tell of its B-mode image.

    :param box: the region, clipped to the frame; None where the whole frame is to be searched.
    :param pixel_aspect: width of a pixel divided by its height; None where the region does not say.
    """

    box: Box | None = None
    pixel_aspect: float | None = None
    notes: frozenset[Note] = frozenset()


@dataclass(frozen=True, slots=True)
class _Item:
    """One declared region with a place.

    :param corners: ``x0, y0, x1, y1`` as they are stored, both corners within the region.
    """

    kind: Kind
    corners: tuple[int, int, int, int]
    pixel_aspect: float | None

    def box(self, height: int, width: int) -> Box | None:
        """The region, clipped to the frame; None where it is not a part of this frame."""
        x0, y0, x1, y1 = self.corners
        inside = min(x0, y0) >= -ROUNDING and x1 < width + ROUNDING and y1 < height + ROUNDING
        box = Box(max(x0, 0), max(y0, 0), min(x1 + 1, width), min(y1 + 1, height))
        return box if inside and box.width >= MIN_SIDE and box.height >= MIN_SIDE else None


def b_mode_region(dataset: Dataset, height: int, width: int) -> BModeRegion:
    """The largest region that shows tissue in two dimensions.

    Regions are told by what they hold and never by their order: machines put M-mode and Doppler panes first as they like.
    Items without a place and items that say nothing count for nothing. Where one item does not fit the frame, all of them are
    of the picture as it was before something resized it, and the whole frame is taken.

    :raises SkippedClipError: if regions are declared, and all that are of an image are M-mode or Doppler.
    """
    items, any_useless = _items(dataset)
    b_mode = [item for item in items if item.kind is Kind.B_MODE]
    of_other_modes = [item for item in items if item.kind is Kind.OTHER_MODE]
    if not b_mode and of_other_modes:
        # Beside M-mode or Doppler, what is stated by half is the B-mode image that is left.
        b_mode = [item for item in items if item.kind is Kind.HALF_STATED]
        if not b_mode:
            raise SkippedClipError("no-b-mode-region", "the DICOM file declares regions, none of them B-mode")
    if not b_mode:
        return BModeRegion(notes=frozenset({Note.REGION_IGNORED} if any_useless else ()))
    if any(item.box(height, width) is None for item in b_mode + of_other_modes):
        return BModeRegion(notes=frozenset({Note.REGION_IGNORED}))
    by_box = {box: item for item in reversed(b_mode) if (box := item.box(height, width)) is not None}
    largest = max(by_box, key=lambda box: (box.width * box.height, -box.y0, -box.x0))
    several = frozenset({Note.SEVERAL_B_MODE_REGIONS} if len(by_box) > 1 else ())
    return BModeRegion(largest, by_box[largest].pixel_aspect, several)


def _items(dataset: Dataset) -> tuple[list[_Item], bool]:
    """Items that state what they are and where, and whether an image is stated that has no place."""
    from pydicom import Dataset as Item

    try:
        with quiet():
            declared = list(dataset.get("SequenceOfUltrasoundRegions") or ())
    except Exception:
        return [], True
    found, any_useless = [], False
    for item in declared:
        if not isinstance(item, Item) or (kind := _kind(item)) is Kind.NOTHING:
            continue
        corners = _corners(item)
        if corners is not None:
            found.append(_Item(kind, corners, _pixel_aspect(item)))
        elif kind is not Kind.HALF_STATED:
            any_useless = True
    return found, any_useless


def _kind(item: Dataset) -> Kind:
    spatial_format, data_type = whole_number(item, "RegionSpatialFormat"), whole_number(item, "RegionDataType")
    if spatial_format in (FORMAT_M_MODE, FORMAT_SPECTRAL):
        return Kind.OTHER_MODE
    if spatial_format in (FORMAT_WAVE_FORM, FORMAT_GRAPHICS):
        return Kind.OTHER_MODE if data_type in DATA_OF_OTHER_MODES else Kind.NOTHING
    if spatial_format != FORMAT_2D:
        return Kind.HALF_STATED if data_type == DATA_TISSUE else Kind.NOTHING
    if data_type == DATA_TISSUE:
        return Kind.B_MODE
    if data_type in DATA_OF_OTHER_MODES:
        return Kind.OTHER_MODE
    return Kind.NOTHING if data_type in DATA_BESIDE_AN_IMAGE else Kind.HALF_STATED


def _corners(item: Dataset) -> tuple[int, int, int, int] | None:
    """A region's corners, which are given inclusively; None where they are incomplete or hold no image."""
    corners = [number(item, f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
    x0, y0, x1, y1 = (math.nan if corner is None else _signed(corner) for corner in corners)
    if abs(x1 - x0) + 1 >= MIN_SIDE and abs(y1 - y0) + 1 >= MIN_SIDE:  # false where one of them is NaN
        return round(x0), round(y0), round(x1), round(y1)
    return None


def _signed(corner: float) -> float:
    """A corner before the frame's first pixel is written into an unsigned number."""
    return corner - (1 << 32) if corner >= 1 << 31 else corner


def _pixel_aspect(item: Dataset) -> float | None:
    """Width of a pixel divided by its height, where both are lengths; a sign says which way an axis runs."""
    if any(whole_number(item, f"PhysicalUnits{axis}Direction") != CENTIMETRES for axis in "XY"):
        return None
    across, down = (abs(number(item, f"PhysicalDelta{axis}") or 0.0) for axis in "XY")
    return across / down if across and down else None
