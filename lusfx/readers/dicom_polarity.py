"""Whether small samples of a grey picture are white: all that a header may turn over (PS3.3 C.7.6.3.1.2, C.11.1, C.11.2
and C.11.6).

MONOCHROME1 is undone by a modality transform or a VOI table that falls. A Presentation LUT Shape that is not the one of its
photometric interpretation contradicts it; the ground of an ultrasound picture, which is black, then decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.readers.dicom_values import number, text
from lusfx.readers.files import quiet

if TYPE_CHECKING:
    from pydicom import Dataset

SHAPES = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}
OPPOSITE = {"MONOCHROME1": "MONOCHROME2", "MONOCHROME2": "MONOCHROME1"}
MOSTLY = 0.5
"""Share of the frame's edge that tells what its ground is."""

Edge = Callable[[], NDArray[np.float64]]
"""Gives the first frame's outermost samples, as shares of the greatest value."""


def polarity_of(dataset: Dataset, photometric: str, edge: Edge) -> tuple[str, bool]:
    """MONOCHROME1 where small samples are white, else MONOCHROME2; and whether the pixels decided against the header.

    :param photometric: what the header says, one of these.
    """
    stated = OPPOSITE[photometric] if _falls(dataset) else photometric
    shape = text(dataset, "PresentationLUTShape").upper()
    if shape not in SHAPES.values() or shape == SHAPES[photometric]:
        return stated, False
    values = edge()
    if float((values < 1 / 8).mean()) > MOSTLY:
        found = "MONOCHROME2"
    elif float((values > 7 / 8).mean()) > MOSTLY:
        found = "MONOCHROME1"
    else:
        found = stated
    return found, found != stated


def _falls(dataset: Dataset) -> bool:
    """Whether greater samples come to smaller values."""
    has_window = number(dataset, "WindowWidth") is not None
    modality = (number(dataset, "RescaleSlope") or 1.0) < 0 or _is_falling(dataset, "ModalityLUTSequence")
    # Of a window and a table either one may be used, and a window never falls.
    return modality != (not has_window and _is_falling(dataset, "VOILUTSequence"))


def _is_falling(dataset: Dataset, keyword: str) -> bool:
    """Whether the first table of a sequence falls from its first entry to its last."""
    try:
        with quiet():
            item = dataset[keyword].value[0]
            data = item["LUTData"].value
            n_entries = int(item["LUTDescriptor"].value[0]) or 1 << 16
    except Exception:
        return False
    if isinstance(data, bytes):
        # Either end is compared with the other, in whichever order of bytes: one byte an entry, or two.
        data = np.frombuffer(data[: len(data) // 2 * 2], np.uint8 if len(data) < 2 * n_entries else "<u2")[:n_entries]
    return len(data) > 1 and int(data[0]) > int(data[-1])
