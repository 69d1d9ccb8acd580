"""Oblong pixels become square, by the source that knows best; what contradicts itself is told."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.uid import JPEGBaseline8Bit

from lusfx.readers.dicom import DicomReader
from lusfx.readers.dicom_aspect import display_of
from lusfx.site_key import SiteKey
from lusfx.types import Box, ClipInfo, Note
from tests.readers import make

Frames = NDArray[np.uint8]
Write = Callable[[FileDataset], Path]
KEY = SiteKey(bytes(32))
DOUBTFUL = frozenset({Note.PIXEL_ASPECT_DOUBTFUL})


def read(path: Path) -> tuple[ClipInfo, Frames, frozenset[Note]]:
    with DicomReader().open(path, KEY) as clip:
        frames = np.stack([frame.pixels for frame in clip.frames() if frame.pixels is not None])
        return clip.info, frames, clip.notes


def calibrated(box: tuple[int, int, int, int], across: float, down: float) -> Dataset:
    item = make.region(box)
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = across, down
    return item


@pytest.mark.parametrize(
    ("of_region", "spacing", "ratio", "aspect", "notes"),
    [
        (None, None, None, 1.0, frozenset()),
        (0.5, None, None, 0.5, frozenset()),
        (None, [0.2, 0.1], None, 0.5, frozenset()),  # the vertical first
        (None, None, [2, 1], 0.5, frozenset()),
        (None, None, [1000, 1000], 1.0, frozenset()),
        (0.5, None, [2, 1], 0.5, frozenset()),
        (0.5, [0.2, 0.1], [1, 1], 0.5, DOUBTFUL),
        (1.0, None, [2, 1], 1.0, DOUBTFUL),
        (1.01, None, [1, 1], 1.01, frozenset()),  # rounded millimetres
        (None, [0.2, 0.1], [1, 2], 0.5, DOUBTFUL),
        (50.0, None, None, 1.0, DOUBTFUL),
        (50.0, None, [2, 1], 0.5, DOUBTFUL),
        (None, None, [0, 0], 1.0, frozenset()),
        (None, None, [2], 1.0, frozenset()),
        (None, None, [2, -1], 1.0, frozenset()),
        (None, [0.0, 0.1], [4, 3], 0.75, frozenset()),
    ],
)
def test_the_most_exact_source_counts(
    of_region: float | None,
    spacing: list[float] | None,
    ratio: list[int] | None,
    aspect: float,
    notes: frozenset[Note],
) -> None:
    dataset = Dataset()
    if spacing is not None:
        dataset.PixelSpacing = spacing
    if ratio is not None:
        dataset.PixelAspectRatio = ratio
    display, told = display_of(dataset, of_region)
    assert display.pixel_aspect == pytest.approx(aspect)
    assert told == notes


def test_a_ratio_with_a_fraction() -> None:
    dataset = Dataset()
    dataset.add_new(0x00280034, "LO", "1,5\\1")
    assert display_of(dataset, None)[0].pixel_aspect == pytest.approx(2 / 3)


def test_frames_and_region_are_given_with_square_pixels(write_dicom: Write, cine: Frames) -> None:
    narrow = cine[:, ::2]  # every second row: a pixel is twice as high as wide
    item = calibrated((10, 4, 60, 20), 0.05, 0.1)
    info, frames, notes = read(write_dicom(make.make_dataset(narrow, regions=[item])))
    assert (info.height, info.width) == cine.shape[1:] == frames.shape[1:]
    assert info.region == Box(10, 8, 60, 40)
    assert notes == frozenset()
    assert np.abs(frames - cine.astype(int)).mean() < 3


@pytest.mark.parametrize("deltas", [(0.05, -0.05), (-0.05, 0.05), (0.05, 0.0503), (0.05, 0.0), (float("nan"), 0.1)])
def test_pixels_that_are_square_or_of_unknown_sides_stay_as_they_are(
    write_dicom: Write, cine: Frames, deltas: tuple[float, float]
) -> None:
    info, frames, notes = read(write_dicom(make.make_dataset(cine, regions=[calibrated((0, 0, 64, 48), *deltas)])))
    np.testing.assert_array_equal(frames, cine)
    assert info.region == Box(0, 0, 64, 48)
    assert notes == frozenset()


def test_a_region_of_another_picture_tells_nothing_of_the_pixels(write_dicom: Write, cine: Frames) -> None:
    item = calibrated((100, 100, 300, 300), 0.05, 0.1)
    _, frames, notes = read(write_dicom(make.make_dataset(cine, regions=[item])))
    np.testing.assert_array_equal(frames, cine)
    assert notes == {Note.REGION_IGNORED}


def test_compressed_frames_are_stretched_too(write_dicom: Write, tmp_path: Path, cine: Frames) -> None:
    dataset = make.compressed(make.make_dataset(cine), JPEGBaseline8Bit, tmp_path)
    dataset.PixelAspectRatio = [1, 2]
    info, frames, _ = read(write_dicom(dataset))
    assert (info.height, info.width) == (48, 128) == frames.shape[1:]


def test_video_is_stretched_too(write_dicom: Write) -> None:
    cine = make.make_cine(6, 64, 96)
    stream = io.BytesIO()
    make.encode_video(stream, cine, "libx264", "h264")
    dataset = make.make_dataset(
        np.repeat(cine[..., None], 3, axis=-1), "YBR_PARTIAL_420", [calibrated((0, 0, 96, 64), 0.1, 0.05)]
    )
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    dataset.PixelData = pydicom.encaps.encapsulate([stream.getvalue()])
    info, frames, notes = read(write_dicom(dataset))
    assert (info.height, info.width) == (64, 192) == frames.shape[1:]
    assert info.region == Box(0, 0, 192, 64)
    assert notes == frozenset()
