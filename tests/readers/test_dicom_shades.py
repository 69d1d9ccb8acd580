"""How many bits are white, and what palettes make of a value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from lusfx.errors import UnreadableClipError
from lusfx.readers.dicom import DicomReader
from lusfx.site_key import SiteKey
from lusfx.types import Note
from tests.readers import make

Frames = NDArray[np.uint8]
Write = Callable[[FileDataset], Path]
LUMA = np.array([0.299, 0.587, 0.114])
LEVELS = np.arange(256)
TABLES = (LEVELS, LEVELS[::-1], LEVELS // 2)
FROM_DATA = {Note.GREY_RANGE_FROM_DATA}


def read(path: Path) -> tuple[NDArray[np.uint8], frozenset[Note]]:
    with DicomReader().open(path, SiteKey(bytes(32))) as clip:
        pixels = np.stack([frame.pixels for frame in clip.frames() if frame.pixels is not None])
        return pixels, clip.notes


def deep(values: NDArray[np.uint16], stored: int, **about: object) -> FileDataset:
    dataset: FileDataset = make.make_dataset(values.astype("<u2"))
    dataset.BitsStored, dataset.HighBit = stored, stored - 1
    for name, value in about.items():
        setattr(dataset, name, value)
    return dataset


@pytest.fixture
def wide(cine: Frames) -> NDArray[np.uint16]:
    return cine.astype(np.uint16)


@pytest.mark.parametrize("bits", range(8, 15))
def test_a_depth_that_would_be_black_is_taken_from_the_values(
    write_dicom: Write, cine: Frames, wide: NDArray[np.uint16], bits: int
) -> None:
    pixels, notes = read(write_dicom(deep(wide << (bits - 8), 16)))
    np.testing.assert_array_equal(pixels, cine)
    assert notes == FROM_DATA


@pytest.mark.parametrize("where", ["window", "largest"])
def test_of_a_dim_picture_the_stated_range_is_believed(
    write_dicom: Write, wide: NDArray[np.uint16], where: str
) -> None:
    about = {"WindowCenter": 128, "WindowWidth": 256} if where == "window" else {"LargestImagePixelValue": 4095}
    dim = wide // 8
    pixels, notes = read(write_dicom(deep(dim, 16, **about)))
    np.testing.assert_array_equal(pixels, dim if where == "window" else dim >> 4)
    assert notes == FROM_DATA


def test_all_frames_have_one_range_also_where_a_late_one_is_bright(write_dicom: Write) -> None:
    values = np.full((40, 16, 16), 100, np.uint16)
    values[33, 3:9, 3:9] = 4000
    pixels, notes = read(write_dicom(deep(values, 16)))
    np.testing.assert_array_equal(pixels, values >> 4)
    assert notes == FROM_DATA


def test_a_range_that_is_used_is_left_alone(write_dicom: Write, cine: Frames, wide: NDArray[np.uint16]) -> None:
    for dataset, wanted in (
        (deep(wide << 4, 12), cine),
        (deep(wide << 3, 12), cine // 2),
        (deep(wide, 8), cine),
        (deep(wide * 0, 16), cine * 0),
    ):
        pixels, notes = read(write_dicom(dataset))
        np.testing.assert_array_equal(pixels, wanted)
        assert notes == frozenset()


@pytest.mark.parametrize("stored", [8, 10, 12])
def test_values_in_the_upper_bits(write_dicom: Write, cine: Frames, wide: NDArray[np.uint16], stored: int) -> None:
    pixels, notes = read(write_dicom(deep(wide << 8, stored, HighBit=15)))
    np.testing.assert_array_equal(pixels, cine)
    assert notes == frozenset()


@pytest.mark.parametrize(("bits", "stated"), [(13, 12), (12, 8), (16, 12)])
def test_values_beyond_the_stored_bits(
    write_dicom: Write, cine: Frames, wide: NDArray[np.uint16], bits: int, stated: int
) -> None:
    pixels, notes = read(write_dicom(deep(wide << (bits - 8), stated)))
    np.testing.assert_array_equal(pixels, cine)
    assert notes == {Note.DESCRIPTION_CORRECTED}


def test_eight_bits_that_are_called_seven(write_dicom: Write, cine: Frames) -> None:
    dataset = make.make_dataset(cine)
    dataset.BitsStored, dataset.HighBit = 7, 6
    pixels, notes = read(write_dicom(dataset))
    np.testing.assert_array_equal(pixels, cine)
    assert notes == {Note.DESCRIPTION_CORRECTED}


def test_overlays_in_the_upper_bits_are_no_grey(write_dicom: Write, cine: Frames, wide: NDArray[np.uint16]) -> None:
    dataset = deep((wide << 4) | 0x8000, 12)
    dataset.add_new(0x60000102, "US", 15)
    np.testing.assert_array_equal(read(write_dicom(dataset))[0], cine)


def test_signed_samples_are_read_where_none_is_below_0(
    write_dicom: Write, cine: Frames, wide: NDArray[np.uint16]
) -> None:
    pixels, notes = read(write_dicom(deep(wide << 4, 16, PixelRepresentation=1)))
    np.testing.assert_array_equal(pixels, cine)
    assert notes >= {Note.DESCRIPTION_CORRECTED}
    with pytest.raises(UnreadableClipError) as caught:
        read(write_dicom(deep(wide - 50, 16, PixelRepresentation=1)))
    assert caught.value.code == "unsupported-pixel-format"


def with_palette(dataset: FileDataset, first: int, bits: int, tables: list[bytes], n_entries: int) -> FileDataset:
    for name, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        dataset.add_new(
            {"Red": 0x00281101, "Green": 0x00281102, "Blue": 0x00281103}[name], "US", [n_entries, first % 65536, bits]
        )
        setattr(dataset, f"{name}PaletteColorLookupTableData", table + b"\0" * (len(table) % 2))
    return dataset


def words(*tables: NDArray[np.int64]) -> list[bytes]:
    return [table.astype("<u2").tobytes() for table in tables]


@pytest.mark.parametrize(
    ("bits", "tables"),
    [
        (16, words(*(table * 257 for table in TABLES))),
        (16, words(*TABLES)),
        (8, words(*TABLES)),
        (8, [table.astype(np.uint8).tobytes() for table in TABLES]),
        (16, [table.astype(np.uint8).tobytes() for table in TABLES]),
    ],
    ids=["16", "16-hold-8", "8-in-16", "8-packed", "16-packed"],
)
def test_entries_of_every_width(write_dicom: Write, cine: Frames, bits: int, tables: list[bytes]) -> None:
    dataset = with_palette(make.make_dataset(cine, "PALETTE COLOR"), 0, bits, tables, 256)
    pixels, notes = read(write_dicom(dataset))
    assert np.abs(pixels - np.stack(TABLES, axis=-1)[cine] @ LUMA).max() <= 0.51
    assert notes == frozenset()


@pytest.mark.parametrize("first", [-20, 20])
def test_values_outside_a_palette_have_its_first_or_last_colour(write_dicom: Write, cine: Frames, first: int) -> None:
    tables = words(*(table[:200] * 257 for table in TABLES))
    dataset = with_palette(make.make_dataset(cine, "PALETTE COLOR"), first, 16, tables, 200)
    index = np.clip(cine.astype(int) - first, 0, 199)
    assert np.abs(read(write_dicom(dataset))[0] - np.stack(TABLES, axis=-1)[index] @ LUMA).max() <= 0.51


def test_no_entries_are_65536(write_dicom: Write, cine: Frames, wide: NDArray[np.uint16]) -> None:
    tables = words(*(np.repeat(table, 256) * 257 for table in TABLES))
    dataset = make.make_dataset((wide << 8).astype("<u2"), "PALETTE COLOR")
    pixels, _ = read(write_dicom(with_palette(dataset, 0, 16, tables, 0)))
    assert np.abs(pixels - np.stack(TABLES, axis=-1)[cine] @ LUMA).max() <= 0.51


def test_a_supplemental_palette_colours_what_lies_above_the_greys(write_dicom: Write, wide: NDArray[np.uint16]) -> None:
    values = np.where(wide > 200, 256 + wide - 200, wide)
    red = words(np.full(60, 65535), np.zeros(60, int), np.zeros(60, int))
    pixels, _ = read(write_dicom(with_palette(deep(values, 9), 256, 16, red, 60)))
    np.testing.assert_array_equal(pixels, np.where(wide > 200, 76, wide))


def test_a_left_over_palette_is_none_of_a_grey_picture(write_dicom: Write, cine: Frames) -> None:
    tables = words(*(table[::-1] * 257 for table in TABLES))
    np.testing.assert_array_equal(read(write_dicom(with_palette(make.make_dataset(cine), 0, 16, tables, 256)))[0], cine)


def test_half_a_palette_has_a_code(write_dicom: Write, cine: Frames) -> None:
    dataset = with_palette(make.make_dataset(cine, "PALETTE COLOR"), 0, 16, words(*TABLES), 256)
    del dataset.GreenPaletteColorLookupTableData
    with pytest.raises(UnreadableClipError) as caught:
        read(write_dicom(dataset))
    assert caught.value.code == "damaged"
