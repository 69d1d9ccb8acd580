"""Stored pixels as they are shown."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.readers.display import Display
from lusfx.types import Box

RAMP = (np.arange(12 * 20, dtype=np.int64) % 251).astype(np.uint8).reshape(12, 20)
MARKED = Box(3, 2, 9, 5)


def with_marked_box() -> np.ndarray:
    pixels = np.zeros((12, 20), np.uint8)
    pixels[MARKED.y0 : MARKED.y1, MARKED.x0 : MARKED.x1] = 255
    return pixels


def test_a_plain_display_gives_the_very_frame() -> None:
    assert Display().is_plain
    assert Display().frame(RAMP) is RAMP


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_turns_and_mirrors_as_numpy_does(turns: int, mirrored: bool) -> None:
    shown = Display(quarter_turns=turns, mirrored=mirrored).frame(RAMP)
    expected = np.rot90(RAMP, turns)
    assert np.array_equal(shown, expected[:, ::-1] if mirrored else expected)
    assert shown.flags.c_contiguous


@pytest.mark.parametrize(
    ("aspect", "shape"),
    [(2.0, (12, 40)), (0.5, (24, 20)), (1.005, (12, 20)), (9.0, (12, 20)), (0.0, (12, 20)), (float("nan"), (12, 20))],
)
def test_oblong_pixels_become_square(aspect: float, shape: tuple[int, int]) -> None:
    display = Display(aspect)
    assert display.shape(12, 20) == shape
    assert display.frame(RAMP).shape == shape


@pytest.mark.parametrize("aspect", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_box_moves_with_the_pixels_in_it(aspect: float, turns: int, mirrored: bool) -> None:
    display = Display(aspect, turns, mirrored)
    shown = display.frame(with_marked_box())
    box = display.box(MARKED, 12, 20)
    assert shown.shape == display.shape(12, 20)
    assert shown[box.y0 : box.y1, box.x0 : box.x1].min() > 127
    assert (shown > 127).sum() == box.width * box.height
