"""GIF: rectangles over what stood before, on black, with the times that players use."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from lusfx.readers.video import VideoReader
from lusfx.site_key import SiteKey
from lusfx.types import ClipInfo, Frame

CLEAR = 255
"""The index that is transparent, and white in the palette."""


class Picture(NamedTuple):
    left: int
    top: int
    indices: np.ndarray
    disposal: int = 1
    transparent: bool = True
    delay: int = 4


def packed(values: Sequence[int]) -> bytes:
    """LZW without compression: codes of nine bits, the table cleared before they need ten."""
    codes = [code for start in range(0, len(values), 200) for code in (256, *values[start : start + 200])]
    bits = sum(code << 9 * number for number, code in enumerate([*codes, 257]))
    return bits.to_bytes((9 * len(codes) + 16) // 8, "little")


def gif(pictures: Sequence[Picture], height: int = 12, width: int = 16, background: int = 0, aspect: int = 0) -> bytes:
    out = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, background, aspect)
    out += b"".join(bytes([grey] * 3) for grey in range(256)) + b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    for picture in pictures:
        out += (
            b"\x21\xf9\x04"
            + struct.pack("<BHB", picture.disposal << 2 | picture.transparent, picture.delay, CLEAR)
            + b"\0"
        )
        n_rows, n_columns = picture.indices.shape
        out += b"\x2c" + struct.pack("<HHHHB", picture.left, picture.top, n_columns, n_rows, 0) + b"\x08"
        data = packed(picture.indices.reshape(-1).tolist())
        out += b"".join(bytes([len(data[k : k + 255])]) + data[k : k + 255] for k in range(0, len(data), 255)) + b"\0"
    return out + b"\x3b"


def read(path: Path) -> tuple[ClipInfo, list[Frame]]:
    with VideoReader().open(path, SiteKey(bytes(32))) as clip:
        frames = list(clip.frames())
        assert clip.notes == frozenset()
        return clip.info, frames


def pixels(frames: list[Frame]) -> np.ndarray:
    return np.stack([frame.pixels for frame in frames if frame.pixels is not None])


GROUND = np.full((12, 16), 90, np.uint8)
PATCH = np.full((4, 6), CLEAR, np.uint8)
PATCH[1:3, 1:5] = 200


def over(below: np.ndarray, top: int, left: int) -> np.ndarray:
    out = below.copy()
    part = out[top : top + 4, left : left + 6]
    part[PATCH != CLEAR] = PATCH[PATCH != CLEAR]
    return out


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
@pytest.mark.parametrize("background", [0, 200, 255])
def test_what_stands_after_each_disposal(tmp_path: Path, disposal: int, background: int) -> None:
    pictures = [Picture(0, 0, GROUND), Picture(2, 1, PATCH, disposal), Picture(8, 6, PATCH)]
    path = tmp_path / "clip.gif"
    path.write_bytes(gif(pictures, background=background))
    second = over(GROUND, 1, 2)
    third = {0: second, 1: second, 2: GROUND.copy(), 3: GROUND}[disposal]
    if disposal == 2:
        third[1:5, 2:8] = 0
    np.testing.assert_array_equal(pixels(read(path)[1]), [GROUND, second, over(third, 6, 8)])


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("background", [0, 200, 255])
def test_around_a_first_picture_that_is_smaller_all_is_black(
    tmp_path: Path, transparent: bool, background: int
) -> None:
    small = np.full((5, 7), 120, np.uint8)
    path = tmp_path / "clip.gif"
    path.write_bytes(
        gif([Picture(3, 4, small, 1, transparent), Picture(0, 0, small, 1, transparent)], background=background)
    )
    first = np.zeros((12, 16), np.uint8)
    first[4:9, 3:10] = 120
    second = first.copy()
    second[:5, :7] = 120
    np.testing.assert_array_equal(pixels(read(path)[1]), [first, second])


@pytest.mark.parametrize(("delay", "shown_s"), [(0, 0.1), (1, 0.1), (2, 0.02), (4, 0.04), (100, 1.0)])
def test_delays_as_players_have_them(tmp_path: Path, delay: int, shown_s: float) -> None:
    path = tmp_path / "clip.gif"
    path.write_bytes(gif([Picture(0, 0, GROUND + k, delay=delay) for k in range(4)]))
    times = [frame.time_s for frame in read(path)[1]]
    np.testing.assert_allclose(times, np.arange(4) * shown_s, atol=0.001)


@pytest.mark.parametrize(("aspect", "shape"), [(0, (12, 16)), (49, (12, 16)), (113, (12, 32)), (17, (24, 16))])
def test_oblong_pixels_become_square(tmp_path: Path, aspect: int, shape: tuple[int, int]) -> None:
    path = tmp_path / "clip.gif"
    path.write_bytes(gif([Picture(0, 0, GROUND)], aspect=aspect))
    info, frames = read(path)
    assert (info.height, info.width) == pixels(frames)[0].shape == shape
