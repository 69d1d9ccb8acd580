"""How oblong the pixels of a DICOM frame are (PS3.3 C.8.5.5.1.1, 10.7.1.3, C.7.6.3.1.7)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lusfx.readers.dicom_values import Decimals
from lusfx.readers.display import MOST_OBLONG, Display
from lusfx.types import Note

if TYPE_CHECKING:
    from pydicom import Dataset


CONTRADICTION = 0.03
"""Sources that differ by less agree: ratios of whole numbers and rounded millimetres are near each other."""


def display_of(dataset: Dataset, of_region: float | None) -> tuple[Display, frozenset[Note]]:
    """How frames are shown, by the most exact source: the B-mode region's calibration, Pixel Spacing, Pixel Aspect Ratio.

    The region's calibration was made by the machine for what the image shows; the others are for viewers.

    :param of_region: width of a pixel divided by its height by the region's calibration; None where that does not say.
    :returns: the display, and a note where sources contradict each other or state what cannot be.
    """
    sources = (of_region, _across_by_down(dataset, "PixelSpacing"), _across_by_down(dataset, "PixelAspectRatio"))
    stated = [aspect for aspect in sources if aspect is not None]
    possible = [aspect for aspect in stated if 1 / MOST_OBLONG <= aspect <= MOST_OBLONG]
    contradicted = any(abs(math.log(aspect / possible[0])) > CONTRADICTION for aspect in possible)
    doubtful = contradicted or len(possible) < len(stated)
    return Display(possible[0] if possible else 1.0), frozenset({Note.PIXEL_ASPECT_DOUBTFUL} if doubtful else ())


def _across_by_down(dataset: Dataset, keyword: str) -> float | None:
    """Width of a pixel divided by its height, of an element that has the vertical first; None where it makes no sense."""
    values = Decimals.of(dataset, keyword).values
    if len(values) != 2 or not all(math.isfinite(value) and value > 0 for value in values):
        return None
    down, across = values
    return across / down
