"""Still images become clips of one frame, grey by luma."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lusfx.errors import ClipError, UnreadableClipError
from lusfx.readers.image import ImageReader
from lusfx.site_key import SiteKey
from lusfx.types import ClipInfo, Frame, Note, TimeSource

KEY = SiteKey(bytes(32))


def read(path: Path) -> tuple[ClipInfo, list[Frame], frozenset[Note]]:
    with ImageReader().open(path, KEY) as clip:
        frames = list(clip.frames())
        return clip.info, frames, clip.notes


@pytest.fixture
def rgb(generator: np.random.Generator) -> np.ndarray:
    return generator.integers(0, 256, (24, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("ending", [".png", ".tiff", ".bmp"])
def test_colours_become_luma(tmp_path: Path, rgb: np.ndarray, ending: str) -> None:
    path = tmp_path / f"still{ending}"
    Image.fromarray(rgb).save(path)
    info, frames, notes = read(path)
    assert (info.time_source, info.n_frames_declared, notes) == (TimeSource.STILL, 1, frozenset())
    assert frames[0].time_s == 0.0
    assert np.abs(frames[0].pixels - rgb @ np.array([0.299, 0.587, 0.114])).max() <= 1


def test_grey_is_kept(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb[..., 0]).save(tmp_path / "still.png")
    np.testing.assert_array_equal(read(tmp_path / "still.png")[1][0].pixels, rgb[..., 0])


def test_jpeg_is_close(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    Image.fromarray(ramp).save(tmp_path / "still.jpg", quality=95)
    assert np.abs(read(tmp_path / "still.jpg")[1][0].pixels.astype(int) - ramp).max() <= 4


def test_sixteen_bits_keep_their_upper_half(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb[..., 0].astype(np.uint16) * 257).save(tmp_path / "still.png")
    np.testing.assert_array_equal(read(tmp_path / "still.png")[1][0].pixels, rgb[..., 0])


def test_transparent_pixels_are_black(tmp_path: Path) -> None:
    rgba = np.full((8, 8, 4), 255, np.uint8)
    rgba[:, :4, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "still.png")
    np.testing.assert_array_equal(read(tmp_path / "still.png")[1][0].pixels[0], [0] * 4 + [255] * 4)


def test_the_pages_of_a_tiff_are_frames_of_unknown_time(tmp_path: Path, generator: np.random.Generator) -> None:
    pages = generator.integers(0, 256, (3, 10, 12), dtype=np.uint8)
    first, *rest = (Image.fromarray(page) for page in pages)
    first.save(tmp_path / "cine.tiff", save_all=True, append_images=rest)
    _, frames, notes = read(tmp_path / "cine.tiff")
    np.testing.assert_array_equal(np.stack([frame.pixels for frame in frames]), pages)
    assert np.isnan([frame.time_s for frame in frames[1:]]).all()
    assert notes == {Note.FRAME_TIMES_UNKNOWN}


def test_a_decompression_bomb_is_refused_unread(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    header = struct.pack(">LLBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b""))
    with pytest.raises(UnreadableClipError) as caught:
        read(path)
    assert caught.value.code == "too-large"


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tiff", ".bmp"])
def test_damage_gives_typed_errors_only(tmp_path: Path, rgb: np.ndarray, ending: str) -> None:
    path = tmp_path / f"still{ending}"
    Image.fromarray(rgb).save(path)
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for length in np.linspace(0, 0.9 * len(content), 20).astype(int):
        path.write_bytes(content[:length])
        with pytest.raises(ClipError):
            read(path)
    for _ in range(60):
        altered = bytearray(content)
        for position in generator.integers(0, min(len(content), 400), 4):
            altered[position] = int(generator.integers(256))
        path.write_bytes(altered)
        try:
            read(path)
        except ClipError as error:
            assert error.code in {"damaged", "too-large"}  # noqa: PT017 - either a result or this


def test_an_svg_or_a_postscript_file_is_no_image_here(tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(UnreadableClipError) as caught:
        read(path)
    assert caught.value.code == "damaged"
