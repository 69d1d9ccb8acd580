"""What containers say of turned and mirrored pictures."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from lusfx.readers.display import Display
from lusfx.readers.orientation import EXIF, orientation_of_matrix, orientation_of_tag

RAMP = np.arange(6, dtype=np.uint8).reshape(2, 3)


def matrix(a: float, b: float, c: float, d: float) -> bytes:
    return struct.pack("=9i", *(round(v * 65536) for v in (a, b, 0, c, d, 0, 0, 0, 16384)))


def moved(pixels: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """Each pixel moved to (a x + c y, b x + d y), y downwards, as the standard has it."""
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    out = np.zeros((to_y.max() + 1, to_x.max() + 1), pixels.dtype)
    out[to_y, to_x] = pixels
    return out


QUARTERS = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)]
MIRRORED = [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)]


@pytest.mark.parametrize("terms", QUARTERS + MIRRORED)
@pytest.mark.parametrize("scale", [1, 0.5, 2])
def test_a_matrix_moves_every_pixel_to_its_place(terms: tuple[int, int, int, int], scale: float) -> None:
    display = orientation_of_matrix(matrix(*(scale * term for term in terms)))
    assert display is not None
    np.testing.assert_array_equal(display.frame(RAMP), moved(RAMP, *terms))


def test_a_matrix_that_is_rounded_still_turns() -> None:
    turn = math.radians(89.5)
    found = orientation_of_matrix(matrix(math.cos(turn), math.sin(turn), -math.sin(turn), math.cos(turn)))
    assert found == Display(quarter_turns=3)


@pytest.mark.parametrize("terms", [(0.7, 0.7, -0.7, 0.7), (1, 0, 0.5, 1), (0, 0, 0, 0), (1, 0, 1, 0)])
def test_what_is_no_quarter_turn_is_told(terms: tuple[float, float, float, float]) -> None:
    assert orientation_of_matrix(matrix(*terms)) is None


def test_a_short_matrix_is_none() -> None:
    assert orientation_of_matrix(b"\0" * 8) is None


@pytest.mark.parametrize(
    ("tag", "turns"), [("0", 0), ("90", 3), ("180", 2), ("270", 1), ("-90", 1), ("360", 0), ("", 0), ("up", 0)]
)
def test_a_tag_turns_clockwise(tag: str, turns: int) -> None:
    assert orientation_of_tag(tag) == Display(quarter_turns=turns)


@pytest.mark.parametrize("tag", ["45", "nan", "inf", "100"])
def test_a_tag_of_other_degrees_is_told(tag: str) -> None:
    assert orientation_of_tag(tag) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_as_pillow_has_it(orientation: int) -> None:
    image = Image.fromarray(RAMP)
    image.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(EXIF[orientation].frame(RAMP), np.asarray(ImageOps.exif_transpose(image)))
