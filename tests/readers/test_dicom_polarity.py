"""Whether small samples are white: every way in which a header may say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.sequence import Sequence

from lusfx.readers.dicom import DicomReader
from lusfx.readers.dicom_polarity import polarity_of
from lusfx.site_key import SiteKey
from lusfx.types import Note
from tests.readers import make

Frames = NDArray[np.uint8]
Write = Callable[[FileDataset], Path]
BLACK, WHITE, GREY = np.zeros(9), np.ones(9), np.full(9, 0.5)


def header(**about: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in about.items():
        setattr(dataset, keyword, value)
    return dataset


def table(entries: NDArray[np.integer]) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(entries), 0, 8 * entries.itemsize]
    item.add_new("LUTData", "OW", entries.tobytes())
    return Sequence([item])


@pytest.mark.parametrize(
    ("about", "falls"),
    [
        ({}, False),
        ({"RescaleSlope": "1"}, False),
        ({"RescaleSlope": "-1", "RescaleIntercept": "255"}, True),
        ({"ModalityLUTSequence": table(np.arange(255, -1, -1).astype(np.uint8))}, True),
        ({"VOILUTSequence": table(np.arange(255, -1, -1).astype("<u2"))}, True),
        ({"VOILUTSequence": table(np.arange(256).astype("<u2"))}, False),
        ({"VOILUTSequence": table(np.arange(255, -1, -1).astype("<u2")), "WindowWidth": "256"}, False),
        ({"VOILUTSequence": Sequence([Dataset()])}, False),
        ({"RescaleSlope": "-1", "VOILUTSequence": table(np.arange(255, -1, -1).astype("<u2"))}, False),
    ],
)
def test_what_falls_turns_over(about: dict[str, object], falls: bool) -> None:
    dataset = header(**about)
    assert polarity_of(dataset, "MONOCHROME2", lambda: BLACK) == (f"MONOCHROME{1 if falls else 2}", False)
    assert polarity_of(dataset, "MONOCHROME1", lambda: BLACK) == (f"MONOCHROME{2 if falls else 1}", False)


@pytest.mark.parametrize(
    ("photometric", "shape", "edge", "found"),
    [
        ("MONOCHROME2", "IDENTITY", WHITE, ("MONOCHROME2", False)),
        ("MONOCHROME1", "INVERSE", BLACK, ("MONOCHROME1", False)),
        ("MONOCHROME2", "INVERSE", WHITE, ("MONOCHROME1", True)),
        ("MONOCHROME2", "INVERSE", BLACK, ("MONOCHROME2", False)),
        ("MONOCHROME1", "IDENTITY", BLACK, ("MONOCHROME2", True)),
        ("MONOCHROME1", "IDENTITY", WHITE, ("MONOCHROME1", False)),
        ("MONOCHROME1", "IDENTITY", GREY, ("MONOCHROME1", False)),
        ("MONOCHROME1", "ODD", BLACK, ("MONOCHROME1", False)),
    ],
)
def test_the_ground_decides_where_the_header_contradicts_itself(
    photometric: str, shape: str, edge: NDArray[np.float64], found: tuple[str, bool]
) -> None:
    assert polarity_of(header(PresentationLUTShape=shape), photometric, lambda: edge) == found


@pytest.mark.parametrize("bits", [8, 16])
def test_a_clip_that_is_turned_over(write_dicom: Write, bits: int) -> None:
    cine = make.make_cine()
    cine[:, :, :3] = cine[:, :, -3:] = cine[:, :3] = cine[:, -3:] = 0
    white = np.invert(cine) if bits == 8 else np.invert(cine.astype(np.uint16) << 8)
    dataset = make.make_dataset(white)
    dataset.PresentationLUTShape = "INVERSE"
    with DicomReader().open(write_dicom(dataset), SiteKey(bytes(32))) as clip:
        pixels = [frame.pixels for frame in clip.frames()]
    np.testing.assert_array_equal(pixels, cine)
    assert clip.notes == {Note.DESCRIPTION_CORRECTED}
