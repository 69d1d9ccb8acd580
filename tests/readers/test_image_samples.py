"""Stills of every kind of sample come out as viewers show them, and 16 bits of which few are in use do not come out black."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from lusfx.errors import UnreadableClipError
from lusfx.readers.image import ImageReader
from lusfx.site_key import SiteKey
from lusfx.types import Frame, GreyImage, Note

GREY = (np.arange(24 * 32) % 256).astype(np.uint8).reshape(24, 32)
KINDS = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's colour type, by the number of samples."""


def read(path: Path) -> tuple[list[Frame], frozenset[Note]]:
    with ImageReader().open(path, SiteKey(bytes(32))) as clip:
        return list(clip.frames()), clip.notes


def still(path: Path) -> tuple[GreyImage, frozenset[Note]]:
    frames, notes = read(path)
    assert len(frames) == 1
    assert frames[0].pixels is not None
    return frames[0].pixels, notes


def png16(samples: NDArray[np.uint16], significant: int | None = None) -> bytes:
    """A PNG of 16 bits ``(height, width[, n])``, with the bits in use stated where asked."""

    def chunk(kind: bytes, value: bytes) -> bytes:
        return struct.pack(">L", len(value)) + kind + value + struct.pack(">L", zlib.crc32(kind + value))

    height, width = samples.shape[:2]
    n = samples.shape[2] if samples.ndim == 3 else 1
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 16, KINDS[n], 0, 0, 0))
    out += b"" if significant is None else chunk(b"sBIT", bytes([significant] * n))
    return out + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def deep(bits: int) -> NDArray[np.uint16]:
    return GREY.astype(np.uint16) << (bits - 8)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("significant", [False, True])
def test_a_png_of_few_bits_in_sixteen_is_shown(tmp_path: Path, bits: int, significant: bool) -> None:
    (tmp_path / "still.png").write_bytes(png16(deep(bits), bits if significant else None))
    pixels, notes = still(tmp_path / "still.png")
    np.testing.assert_array_equal(pixels, GREY)
    assert notes == {Note.GREY_RANGE_FROM_DATA}


def test_what_sbit_says_is_believed_where_the_samples_are_dim(tmp_path: Path) -> None:
    (tmp_path / "still.png").write_bytes(png16(deep(12) // 8, 12))
    np.testing.assert_array_equal(still(tmp_path / "still.png")[0], GREY // 8)


@pytest.mark.parametrize("factor", [257, 256, 128])
def test_a_png_that_uses_its_bits_is_left(tmp_path: Path, factor: int) -> None:
    (tmp_path / "still.png").write_bytes(png16(GREY.astype(np.uint16) * factor))
    pixels, notes = still(tmp_path / "still.png")
    np.testing.assert_array_equal(pixels, GREY // (1 if factor > 128 else 2))
    assert notes == frozenset()


def test_a_black_picture_is_left(tmp_path: Path) -> None:
    (tmp_path / "still.png").write_bytes(png16(np.zeros((4, 5), np.uint16)))
    pixels, notes = still(tmp_path / "still.png")
    assert not pixels.any()
    assert notes == frozenset()


@pytest.mark.parametrize("n_samples", [2, 3, 4])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_colour_and_transparency_of_sixteen_bits(tmp_path: Path, n_samples: int, bits: int) -> None:
    samples = np.repeat(deep(bits)[..., None], n_samples, axis=2)
    if n_samples in (2, 4):
        samples[..., -1] = 65535
        samples[:4, :, -1] = 0
    (tmp_path / "still.png").write_bytes(png16(samples))
    pixels, notes = still(tmp_path / "still.png")
    expected = GREY.copy()
    if n_samples in (2, 4):
        expected[:4] = 0
    np.testing.assert_allclose(pixels, expected, atol=1)
    assert notes == (frozenset() if bits == 16 else {Note.GREY_RANGE_FROM_DATA})


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_tiff_of_sixteen_bits(tmp_path: Path, bits: int) -> None:
    Image.fromarray(deep(bits)).save(tmp_path / "still.tif")
    pixels, notes = still(tmp_path / "still.tif")
    np.testing.assert_array_equal(pixels, GREY)
    assert notes == (frozenset() if bits == 16 else {Note.GREY_RANGE_FROM_DATA})


def test_the_largest_sample_that_a_tiff_states_is_believed_where_it_is_dim(tmp_path: Path) -> None:
    tags = ImageFileDirectory_v2()
    tags[281] = 4095
    Image.fromarray(deep(12) // 4).save(tmp_path / "still.tif", tiffinfo=tags)
    pixels, notes = still(tmp_path / "still.tif")
    np.testing.assert_array_equal(pixels, GREY // 4)
    assert notes == {Note.GREY_RANGE_FROM_DATA}


def test_the_pages_of_a_tiff_have_one_range(tmp_path: Path) -> None:
    pages = [Image.fromarray(deep(8)), Image.fromarray(deep(12))]
    pages[0].save(tmp_path / "cine.tif", save_all=True, append_images=pages[1:])
    frames, notes = read(tmp_path / "cine.tif")
    np.testing.assert_array_equal(frames[0].pixels, GREY >> 4)
    np.testing.assert_array_equal(frames[1].pixels, GREY)
    assert notes == {Note.GREY_RANGE_FROM_DATA, Note.FRAME_TIMES_UNKNOWN}


def plain_tiff(data: bytes, bits: int, photometric: int, sample_format: int = 1) -> bytes:
    """A TIFF of 24 x 32, little endian, uncompressed."""
    entries = [
        (256, 32),
        (257, 24),
        (258, bits),
        (259, 1),
        (262, photometric),
        (273, 134),
        (277, 1),
        (278, 24),
        (279, len(data)),
        (339, sample_format),
    ]
    head = b"II*\0" + struct.pack("<LH", 8, len(entries))
    return (
        head
        + b"".join(struct.pack("<HHLL", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in entries)
        + bytes(4)
        + data
    )


def test_a_tiff_is_built_as_stated() -> None:
    assert len(plain_tiff(b"", 8, 1)) == 134


@pytest.mark.parametrize("bits", [8, 16])
def test_white_may_be_zero(tmp_path: Path, bits: int) -> None:
    stored = GREY if bits == 8 else deep(16) | 0x80
    (tmp_path / "still.tif").write_bytes(plain_tiff(stored.tobytes(), bits, photometric=0))
    np.testing.assert_array_equal(still(tmp_path / "still.tif")[0], 255 - GREY)


def test_twelve_bits_packed(tmp_path: Path) -> None:
    values = deep(12).reshape(-1, 2).astype(np.uint32)
    packed = np.stack([values[:, 0] >> 4, (values[:, 0] & 15) << 4 | values[:, 1] >> 8, values[:, 1] & 255], axis=1)
    (tmp_path / "still.tif").write_bytes(plain_tiff(packed.astype(np.uint8).tobytes(), 12, 1))
    pixels, notes = still(tmp_path / "still.tif")
    np.testing.assert_array_equal(pixels, GREY)
    assert notes == frozenset()


def test_signed_samples_of_which_none_is_negative(tmp_path: Path) -> None:
    (tmp_path / "still.tif").write_bytes(plain_tiff((deep(16) >> 1).tobytes(), 16, 1, sample_format=2))
    np.testing.assert_array_equal(still(tmp_path / "still.tif")[0], GREY)


@pytest.mark.parametrize(
    ("data", "bits", "sample_format"),
    [
        (np.linspace(0, 1, 768, dtype="<f4"), 32, 3),
        (np.arange(768, dtype="<i4"), 32, 2),
        (np.arange(-9, 759, dtype="<i2"), 16, 2),
        (np.linspace(-128, 127, 768).astype(np.int8), 8, 2),
    ],
)
def test_samples_whose_white_nobody_knows_have_a_code(
    tmp_path: Path, data: np.ndarray, bits: int, sample_format: int
) -> None:
    (tmp_path / "still.tif").write_bytes(plain_tiff(data.tobytes(), bits, 1, sample_format))
    with pytest.raises(UnreadableClipError) as caught:
        read(tmp_path / "still.tif")
    assert caught.value.code == "unsupported-pixel-format"


COLOURS = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)
LUMA = COLOURS @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk(tmp_path: Path, kind: str) -> None:
    smooth = np.tile(np.arange(32, dtype=np.uint8) * 6 + 30, (24, 1))
    Image.fromarray(np.stack([smooth] * 3, axis=-1)).convert("CMYK").save(tmp_path / "still", kind)
    np.testing.assert_allclose(still(tmp_path / "still")[0], smooth, atol=4)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_a_palette(tmp_path: Path, kind: str) -> None:
    image = Image.fromarray(COLOURS).quantize(256)
    image.save(tmp_path / "still", kind)
    np.testing.assert_allclose(still(tmp_path / "still")[0], np.asarray(image.convert("RGB").convert("L")), atol=0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_ground_is_black(tmp_path: Path, kind: str, mode: str) -> None:
    image = Image.fromarray(np.full((8, 8), 255, np.uint8)).convert(mode)
    alpha = np.zeros((8, 8), np.uint8)
    alpha[:, 4:] = 255
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "still", kind)
    np.testing.assert_array_equal(still(tmp_path / "still")[0], alpha)


def test_a_transparent_palette_entry_is_black(tmp_path: Path) -> None:
    indices = np.zeros((8, 8), np.uint8)
    indices[:, 4:] = 1
    image = Image.frombytes("P", (8, 8), indices.tobytes())
    image.putpalette([255, 255, 255, 180, 180, 180])
    image.save(tmp_path / "still.png", transparency=0)
    np.testing.assert_array_equal(still(tmp_path / "still.png")[0], indices * 180)


def test_one_bit(tmp_path: Path) -> None:
    image = Image.fromarray(GREY).convert("1")
    for kind in ("PNG", "TIFF", "BMP"):
        image.save(tmp_path / "still", kind)
        np.testing.assert_array_equal(still(tmp_path / "still")[0], np.asarray(image.convert("L")))


def test_a_tiff_of_jpeg_in_ycbcr(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(32, dtype=np.uint8) * 6 + 30, (24, 1))
    colours = np.stack([ramp, ramp, 255 - ramp], axis=-1)
    Image.fromarray(colours).convert("YCbCr").save(tmp_path / "still.tif", compression="jpeg", quality=98)
    np.testing.assert_allclose(still(tmp_path / "still.tif")[0], colours @ np.array([0.299, 0.587, 0.114]), atol=5)
