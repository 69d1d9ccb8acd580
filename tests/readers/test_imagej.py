"""ImageJ's stacks: planes behind the one that the directory names."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from lusfx.readers.image import ImageReader
from lusfx.readers.imagej import interval_s, whole
from lusfx.site_key import SiteKey
from lusfx.types import ClipInfo, Frame, Note, TimeSource


def planes(n: int = 6, height: int = 10, width: int = 14) -> np.ndarray:
    return (
        np.stack([(np.arange(height * width) * 3 + 20 * k) % 256 for k in range(n)])
        .reshape(n, height, width)
        .astype(np.uint8)
    )


def tiff(
    description: str,
    data: bytes,
    *,
    bits: int,
    order: str = ">",
    photometric: int = 1,
    samples: int = 1,
    colours: bytes = b"",
    compression: int = 1,
) -> bytes:
    """A TIFF of one directory for planes of 10 x 14, as ImageJ writes it."""
    text = description.encode() + b"\0"
    n_bytes = 140 * samples * bits // 8
    n_entries = 11 + bool(colours)
    start = 8 + 2 + 12 * n_entries + 4
    extra = text + b"\0" * (len(text) % 2)
    depths = struct.pack(f"{order}3H", bits, bits, bits) if samples == 3 else b""
    depth_place, colour_place = start + len(extra), start + len(extra) + len(depths)
    data_place = colour_place + len(colours)
    entries = [
        (254, 4, 1, 0),
        (256, 4, 1, 14),
        (257, 4, 1, 10),
        (258, 3, samples, depth_place if samples == 3 else bits),
        (259, 3, 1, compression),
        (262, 3, 1, photometric),
        (270, 2, len(text), start),
        (273, 4, 1, data_place),
        (277, 3, 1, samples),
        (278, 4, 1, 10),
        (279, 4, 1, n_bytes),
    ]
    if colours:
        entries.append((320, 3, 768, colour_place))
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HLH", 42, 8, len(entries))
    for tag, kind, count, value in entries:
        short = kind == 3 and count == 1
        head += struct.pack(f"{order}HHL", tag, kind, count) + struct.pack(
            f"{order}{'HH' if short else 'L'}", *((value, 0) if short else (value,))
        )
    return head + bytes(4) + extra + depths + colours + data


def read(folder: Path, content: bytes) -> tuple[ClipInfo, list[Frame], frozenset[Note]]:
    path = folder / "stack.tif"
    path.write_bytes(content)
    with ImageReader().open(path, SiteKey(bytes(32))) as clip:
        frames = list(clip.frames())
        return clip.info, frames, clip.notes


def pixels(frames: list[Frame]) -> np.ndarray:
    return np.stack([frame.pixels for frame in frames if frame.pixels is not None])


HEADER = "ImageJ=1.54f\nimages=6\nframes=6\n"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", [0, 1])
def test_all_planes_are_frames(tmp_path: Path, order: str, bits: int, photometric: int) -> None:
    if (order, bits, photometric) == (">", 16, 0):
        pytest.skip("Pillow knows no such TIFF")
    stored = planes() if bits == 8 else (planes().astype(np.uint16) * 256 + 7).astype(f"{order}u2")
    info, frames, notes = read(
        tmp_path, tiff(HEADER, stored.tobytes(), bits=bits, order=order, photometric=photometric)
    )
    assert info.n_frames_declared == 6
    np.testing.assert_array_equal(pixels(frames), planes() if photometric else 255 - planes())
    assert notes == {Note.FRAME_TIMES_UNKNOWN}


def test_a_stack_in_colour(tmp_path: Path) -> None:
    rgb = np.stack([planes(), 255 - planes(), planes() // 2], axis=-1)
    _, frames, _ = read(tmp_path, tiff(HEADER, rgb.tobytes(), bits=8, photometric=2, samples=3))
    np.testing.assert_allclose(pixels(frames), rgb @ np.array([0.299, 0.587, 0.114]), atol=0.51)


def test_a_stack_with_a_palette(tmp_path: Path) -> None:
    colours = np.stack([np.arange(256)[::-1], np.arange(256), np.full(256, 30)]) * 257
    _, frames, _ = read(
        tmp_path, tiff(HEADER, planes().tobytes(), bits=8, photometric=3, colours=colours.astype(">u2").tobytes())
    )
    luma = np.array([0.299, 0.587, 0.114]) @ (colours / 257)
    np.testing.assert_allclose(pixels(frames), luma[planes()], atol=0.51)


@pytest.mark.parametrize(
    ("fields", "step_s"),
    [("finterval=0.04\n", 0.04), ("finterval=40\ntunit=ms\n", 0.04), ("finterval=0.5\ntunit=sec\n", 0.5)],
)
def test_the_interval_gives_times(tmp_path: Path, fields: str, step_s: float) -> None:
    info, frames, notes = read(tmp_path, tiff(HEADER + fields, planes().tobytes(), bits=8))
    assert info.time_source == TimeSource.CONTAINER
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(6) * step_s)
    assert notes == frozenset()


@pytest.mark.parametrize(
    "fields",
    [
        "finterval=0\n",
        "finterval=soon\n",
        "finterval=1\ntunit=fortnight\n",
        "finterval=0.04\nchannels=2\n",
        "finterval=0.04\nslices=3\n",
    ],
)
def test_times_that_cannot_be_told_are_unknown(tmp_path: Path, fields: str) -> None:
    info, frames, notes = read(tmp_path, tiff(HEADER + fields, planes().tobytes(), bits=8))
    assert info.time_source == TimeSource.UNKNOWN
    assert len(frames) == 6
    assert notes == {Note.FRAME_TIMES_UNKNOWN}


def test_a_stack_that_is_cut_short_says_so(tmp_path: Path) -> None:
    info, frames, notes = read(tmp_path, tiff(HEADER, planes().tobytes()[:-200], bits=8))
    assert info.n_frames_declared == 6
    np.testing.assert_array_equal(pixels(frames), planes()[:4])
    assert Note.FEWER_FRAMES_THAN_DECLARED in notes


def test_planes_that_lie_otherwise_are_told_to_be_missing(tmp_path: Path) -> None:
    stream = io.BytesIO()
    tags = ImageFileDirectory_v2()
    tags[270] = HEADER
    Image.fromarray(planes()[0]).save(stream, "TIFF", compression="tiff_lzw", tiffinfo=tags)
    info, frames, notes = read(tmp_path, stream.getvalue())
    assert (info.n_frames_declared, len(frames)) == (6, 1)
    assert notes == {Note.FEWER_FRAMES_THAN_DECLARED}


def test_pages_of_a_stack_have_its_times(tmp_path: Path) -> None:
    stream = io.BytesIO()
    tags = ImageFileDirectory_v2()
    tags[270] = HEADER + "finterval=0.05\n"
    first, *rest = (Image.fromarray(plane) for plane in planes())
    first.save(stream, "TIFF", save_all=True, append_images=rest, tiffinfo=tags)
    info, frames, notes = read(tmp_path, stream.getvalue())
    assert info.time_source == TimeSource.CONTAINER
    np.testing.assert_array_equal(pixels(frames), planes())
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(6) * 0.05)
    assert notes == frozenset()


def test_one_plane_is_a_still(tmp_path: Path) -> None:
    info, frames, notes = read(tmp_path, tiff("ImageJ=1.54f\nimages=1\n", planes(1).tobytes(), bits=8))
    assert info.time_source == TimeSource.STILL
    np.testing.assert_array_equal(pixels(frames), planes(1))
    assert notes == frozenset()


def test_another_program_s_description_is_no_stack(tmp_path: Path) -> None:
    _, frames, _ = read(tmp_path, tiff("Other=1\nimages=6\n", planes().tobytes(), bits=8))
    assert len(frames) == 1


def test_twelve_bits_in_sixteen_show_by_the_brightest_plane(tmp_path: Path) -> None:
    stored = planes().astype(np.uint16) * 16
    stored[0] //= 8
    _, frames, notes = read(tmp_path, tiff(HEADER, stored.astype(">u2").tobytes(), bits=16))
    assert Note.GREY_RANGE_FROM_DATA in notes
    np.testing.assert_array_equal(pixels(frames)[1:], planes()[1:])
    np.testing.assert_array_equal(pixels(frames)[0], planes()[0] // 8)


@pytest.mark.parametrize(
    ("description", "n_read"),
    [
        ('{"shape": [6, 10, 14], "truncated": true}', 6),
        ('{"shape": [2, 3, 10, 14]}', 6),
        ('{"shape": [10, 14]}', 1),
        ('{"shape": [6, 10, 13]}', 1),
        ('{"shape": "many"}', 1),
        ('{"shape": [6', 1),
    ],
)
def test_a_stack_of_tifffile(tmp_path: Path, description: str, n_read: int) -> None:
    _, frames, _ = read(tmp_path, tiff(description, planes().tobytes(), bits=8))
    np.testing.assert_array_equal(pixels(frames), planes()[:n_read])


def test_planes_that_a_stack_of_tifffile_lacks_are_told(tmp_path: Path) -> None:
    _, frames, notes = read(tmp_path, tiff('{"shape": [6, 10, 14]}', planes(4).tobytes(), bits=8))
    assert len(frames) == 4
    assert Note.FEWER_FRAMES_THAN_DECLARED in notes


@pytest.mark.parametrize("text", ["images=1e9", "images=-4", "images=99999999999", "images=\u0663"])
def test_counts_that_are_none_are_left_alone(text: str) -> None:
    name, value = text.split("=")
    assert whole({name: value}, name, 1) == 1


def test_an_interval_must_be_finite() -> None:
    assert np.isnan(interval_s({"finterval": "inf"}))
