"""Where in a DICOM frame the B-mode image is (PS3.3 C.8.5.5, US Region Calibration)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lusfx.errors import SkippedClipError
from lusfx.types import Box

if TYPE_CHECKING:
    from pydicom import Dataset

SPATIAL_2D = 1
"""Region Spatial Format (0018,6012): 2D. M-mode is 2, spectral 3, wave form 4, graphics 5."""
DATA_TISSUE = 1
"""Region Data Type (0018,6014): tissue. Colour flow is 2: it lies over a tissue region of its own."""
MIN_SIDE = 16
"""A smaller region is no image, whatever it is declared to be."""


def b_mode_region(dataset: Dataset, height: int, width: int) -> tuple[Box | None, bool]:
    """The largest region that shows tissue in two dimensions.

    Regions are told by what they hold and never by their order: machines put M-mode and Doppler panes first as they like.

    :returns: the region, clipped to the frame, and whether there are several; None where the file declares no regions.
    :raises SkippedClipError: if regions are declared and none is B-mode.
    """
    # Some writers add an item with nothing but a pixel spacing: that declares no region.
    declared = [item for item in dataset.get("SequenceOfUltrasoundRegions") or () if "RegionSpatialFormat" in item]
    if not declared:
        return None, False
    boxes = {
        box
        for item in declared
        if item.get("RegionSpatialFormat") == SPATIAL_2D and item.get("RegionDataType") == DATA_TISSUE
        if (box := _box_of(item, height, width)) is not None
    }
    if not boxes:
        raise SkippedClipError("no-b-mode-region", "the DICOM file declares regions, none of them B-mode")
    largest = max(boxes, key=lambda box: (box.width * box.height, -box.y0, -box.x0))
    return largest, len(boxes) > 1


def _box_of(item: Dataset, height: int, width: int) -> Box | None:
    """A region's rectangle; its corners are given inclusively."""
    corners = [item.get(f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
    if any(corner is None for corner in corners):
        return None
    x0, y0, x1, y1 = (int(corner) for corner in corners)
    box = Box(max(x0, 0), max(y0, 0), min(x1 + 1, width), min(y1 + 1, height))
    return box if box.width >= MIN_SIDE and box.height >= MIN_SIDE else None
