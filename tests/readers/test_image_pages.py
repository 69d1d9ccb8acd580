"""Of an image file the frames are taken, in the right order, for the right time, and shown as a viewer shows them."""

from __future__ import annotations

import io
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from lusfx.errors import UnreadableClipError
from lusfx.readers.image import ImageReader
from lusfx.site_key import SiteKey
from lusfx.types import ClipInfo, Frame, Note, TimeSource

KEY = SiteKey(bytes(32))
RAMP = (np.arange(24 * 32) % 251).astype(np.uint8).reshape(24, 32)


def read(path: Path) -> tuple[ClipInfo, list[Frame], frozenset[Note]]:
    with ImageReader().open(path, KEY) as clip:
        frames = list(clip.frames())
        return clip.info, frames, clip.notes


def pixels(frames: list[Frame]) -> np.ndarray:
    return np.stack([frame.pixels for frame in frames if frame.pixels is not None])


def smooth(height: int = 24, width: int = 32) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (60 + 3 * y + 2 * x).astype(np.uint8)


# ---- orientation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("JPEG", {"quality": 98}), ("WEBP", {"lossless": True})])
def test_exif_orientation_is_applied(tmp_path: Path, kind: str, options: dict[str, Any], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(smooth())
    image.save(tmp_path / "still", kind, exif=exif, **options)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    info, frames, notes = read(tmp_path / "still")
    assert (info.height, info.width) == expected.shape
    assert np.abs(pixels(frames)[0].astype(int) - expected).max() <= 4
    assert notes == frozenset()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_orientation_is_applied_once(tmp_path: Path, orientation: int, compression: str, bits: int) -> None:
    tags = ImageFileDirectory_v2()
    tags[274] = orientation
    stored = RAMP if bits == 8 else RAMP.astype(np.uint16) * 257
    Image.fromarray(stored).save(tmp_path / "still.tif", tiffinfo=tags, compression=compression)
    image = Image.fromarray(RAMP)
    image.getexif()[0x0112] = orientation
    info, frames, _ = read(tmp_path / "still.tif")
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert (info.height, info.width) == expected.shape
    np.testing.assert_array_equal(pixels(frames)[0], expected)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_none(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RAMP).save(tmp_path / "still.png", exif=exif)
    np.testing.assert_array_equal(pixels(read(tmp_path / "still.png")[1])[0], RAMP)


def test_a_damaged_exif_block_does_not_cost_the_picture(tmp_path: Path) -> None:
    for exif in (b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0nonsense", b"Exif\0\0II*\0\x08\0\0\0\x05\0"):
        Image.fromarray(smooth()).save(tmp_path / "still.jpg", quality=98, exif=exif)
        assert np.abs(pixels(read(tmp_path / "still.jpg")[1])[0].astype(int) - smooth()).max() <= 4


# ---- square pixels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1, 2, 3])
@pytest.mark.parametrize(
    ("densities", "shape"), [((100, 100), (24, 32)), ((100, 200), (24, 64)), ((204, 98), (50, 32))]
)
def test_oblong_pixels_of_a_tiff_become_square(
    tmp_path: Path, unit: int, densities: tuple[int, int], shape: tuple[int, int]
) -> None:
    tags = ImageFileDirectory_v2()
    tags[282], tags[283], tags[296] = IFDRational(densities[0]), IFDRational(densities[1]), unit
    Image.fromarray(RAMP).save(tmp_path / "still.tif", tiffinfo=tags)
    info, frames, _ = read(tmp_path / "still.tif")
    assert (info.height, info.width) == pixels(frames)[0].shape == shape


def test_a_turned_tiff_is_stretched_along_the_side_it_is_stored_in(tmp_path: Path) -> None:
    tags = ImageFileDirectory_v2()
    tags[274], tags[282], tags[283], tags[296] = 6, IFDRational(100), IFDRational(200), 2
    Image.fromarray(RAMP).save(tmp_path / "still.tif", tiffinfo=tags)
    info, _, _ = read(tmp_path / "still.tif")
    assert (info.height, info.width) == (64, 24)


@pytest.mark.parametrize(
    ("unit", "densities", "shape"), [(0, (1, 2), (24, 64)), (1, (72, 72), (24, 32)), (1, (300, 150), (48, 32))]
)
def test_oblong_pixels_of_a_jpeg_become_square(
    tmp_path: Path, unit: int, densities: tuple[int, int], shape: tuple[int, int]
) -> None:
    stream = io.BytesIO()
    Image.fromarray(RAMP).save(stream, "JPEG", dpi=(72, 72))
    content = bytearray(stream.getvalue())
    place = content.index(b"JFIF\0") + 7
    content[place : place + 5] = bytes([unit]) + densities[0].to_bytes(2, "big") + densities[1].to_bytes(2, "big")
    (tmp_path / "still.jpg").write_bytes(content)
    info, _, _ = read(tmp_path / "still.jpg")
    assert (info.height, info.width) == shape


@pytest.mark.parametrize("unit", [0, 1])
@pytest.mark.parametrize(
    ("densities", "shape"), [((2835, 2835), (24, 32)), ((2835, 5670), (24, 64)), ((0, 7), (24, 32))]
)
def test_oblong_pixels_of_a_png_become_square(
    tmp_path: Path, unit: int, densities: tuple[int, int], shape: tuple[int, int]
) -> None:
    stream = io.BytesIO()
    Image.fromarray(RAMP).save(stream, "PNG")
    physical = b"pHYs" + struct.pack(">LLB", *densities, unit)
    chunk = struct.pack(">L", 9) + physical + struct.pack(">L", zlib.crc32(physical))
    (tmp_path / "still.png").write_bytes(stream.getvalue()[:33] + chunk + stream.getvalue()[33:])
    info, _, _ = read(tmp_path / "still.png")
    assert (info.height, info.width) == shape


# ---- which pages ------------------------------------------------------------------------------------------------------


def write_tiff(path: Path, pages: list[np.ndarray], subfile_types: list[int]) -> None:
    """A TIFF of grey pages, little endian, uncompressed; directory and pixels of a page lie together."""
    content = b"II*\0" + struct.pack("<L", 8)
    for number, (page, kind) in enumerate(zip(pages, subfile_types, strict=True)):
        pixels_at = len(content) + 2 + 12 * 10 + 4
        after = 0 if number == len(pages) - 1 else pixels_at + page.size
        entries = [(254, kind), (256, page.shape[1]), (257, page.shape[0]), (258, 8), (259, 1), (262, 1)]
        entries += [(273, pixels_at), (277, 1), (278, page.shape[0]), (279, page.size)]
        content += struct.pack("<H", len(entries)) + b"".join(
            struct.pack("<HHLL", tag, 4, 1, value) for tag, value in entries
        )
        content += struct.pack("<L", after) + page.tobytes()
    path.write_bytes(content)


def test_pages_that_are_marked_as_previews_are_no_frames(tmp_path: Path) -> None:
    small = RAMP[::2, ::2].copy()
    write_tiff(tmp_path / "cine.tif", [RAMP, small, 250 - RAMP, RAMP, small], [0, 1, 0, 1, 4])
    info, frames, notes = read(tmp_path / "cine.tif")
    assert info.n_frames_declared == 2
    np.testing.assert_array_equal(pixels(frames), [RAMP, 250 - RAMP])
    assert notes == {Note.FRAME_TIMES_UNKNOWN}


@pytest.mark.parametrize("first", [False, True])
def test_small_copies_that_are_not_marked_are_left_out_with_a_note(tmp_path: Path, first: bool) -> None:
    small, smaller = RAMP[::2, ::2].copy(), RAMP[::4, ::4].copy()
    pages = [small, RAMP, smaller] if first else [RAMP, small, smaller]
    write_tiff(tmp_path / "still.tif", pages, [0, 0, 0])
    info, frames, notes = read(tmp_path / "still.tif")
    assert (info.height, info.width, info.time_source) == (24, 32, TimeSource.STILL)
    np.testing.assert_array_equal(pixels(frames), [RAMP])
    assert notes == {Note.OTHER_PICTURES_LEFT_OUT}


def test_pages_of_other_shapes_are_refused(tmp_path: Path) -> None:
    write_tiff(tmp_path / "still.tif", [RAMP, RAMP[:20].copy()], [0, 0])
    with pytest.raises(UnreadableClipError) as caught:
        read(tmp_path / "still.tif")
    assert caught.value.code == "frame-size-changed"


@pytest.mark.parametrize("size", [(24, 32), (12, 16)])
def test_the_second_picture_of_a_photo_is_no_frame(tmp_path: Path, size: tuple[int, int]) -> None:
    photo, other = Image.fromarray(smooth()), Image.new("L", size[::-1], 90)
    photo.save(tmp_path / "photo.jpg", "MPO", save_all=True, append_images=[other], quality=98)
    info, frames, notes = read(tmp_path / "photo.jpg")
    assert info.time_source == TimeSource.STILL
    assert len(frames) == 1
    assert np.abs(pixels(frames)[0].astype(int) - smooth()).max() <= 4
    assert notes == frozenset()


# ---- animations -------------------------------------------------------------------------------------------------------


def cine(n_frames: int = 4) -> np.ndarray:
    return np.stack([np.roll(RAMP, 3 * k, axis=1) for k in range(n_frames)])


@pytest.mark.parametrize("default_picture", [False, True])
def test_the_frames_of_an_animated_png(tmp_path: Path, default_picture: bool) -> None:
    frames = [Image.fromarray(frame) for frame in cine()]
    first, rest = (Image.new("L", (32, 24), 180), frames) if default_picture else (frames[0], frames[1:])
    path = tmp_path / "clip.png"
    first.save(path, save_all=True, append_images=rest, duration=[40, 50, 60, 70], default_image=default_picture)
    info, found, notes = read(path)
    assert info.n_frames_declared == 4
    assert info.time_source == TimeSource.CONTAINER
    np.testing.assert_array_equal(pixels(found), cine())
    np.testing.assert_allclose([frame.time_s for frame in found], [0, 0.04, 0.09, 0.15])
    assert notes == frozenset()


def test_a_default_picture_and_one_frame_is_a_still(tmp_path: Path) -> None:
    path = tmp_path / "clip.png"
    other, frame = Image.new("L", (32, 24), 180), Image.fromarray(RAMP)
    other.save(path, save_all=True, append_images=[frame, Image.fromarray(250 - RAMP)], duration=40, default_image=True)
    _, found, _ = read(path)
    np.testing.assert_array_equal(pixels(found), [RAMP, 250 - RAMP])


def test_the_frames_of_an_animated_webp(tmp_path: Path) -> None:
    frames = [Image.fromarray(frame) for frame in cine()]
    path = tmp_path / "clip.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[40, 50, 60, 70], lossless=True)
    info, found, notes = read(path)
    assert info.time_source == TimeSource.CONTAINER
    np.testing.assert_array_equal(pixels(found), cine())
    np.testing.assert_allclose([frame.time_s for frame in found], [0, 0.04, 0.09, 0.15])
    assert notes == frozenset()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparent_parts_of_an_animation_are_black(tmp_path: Path, kind: str) -> None:
    clear = np.zeros((24, 32, 4), np.uint8)
    clear[..., :3] = 255
    clear[4:20, 4:28] = (100, 100, 100, 255)
    other = clear.copy()
    other[8:12, 8:12] = (200, 200, 200, 255)
    images = [Image.fromarray(picture) for picture in (clear, other)]
    path = tmp_path / "clip"
    images[0].save(path, kind, save_all=True, append_images=images[1:], duration=40, lossless=True)
    found = pixels(read(path)[1])
    np.testing.assert_array_equal(found, [picture[..., 0] * (picture[..., 3] == 255) for picture in (clear, other)])


@pytest.mark.parametrize("milliseconds", [0, 10])
def test_frames_of_no_duration_are_shown_as_players_do(tmp_path: Path, milliseconds: int) -> None:
    frames = [Image.fromarray(frame) for frame in cine(3)]
    path = tmp_path / "clip.png"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=milliseconds)
    np.testing.assert_allclose([frame.time_s for frame in read(path)[1]], [0, 0.1, 0.2])


def test_times_after_a_frame_that_cannot_be_read_are_unknown(tmp_path: Path) -> None:
    frames = [Image.fromarray(frame) for frame in cine()]
    path = tmp_path / "clip.png"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)
    content = bytearray(path.read_bytes())
    place = content.index(b"fdAT", content.index(b"fdAT") + 4) + 8
    content[place : place + 8] = bytes(8)
    path.write_bytes(content)
    try:
        _, found, notes = read(path)
    except UnreadableClipError:
        return
    assert Note.UNREADABLE_FRAMES in notes
    assert any(math.isnan(frame.time_s) for frame in found)
