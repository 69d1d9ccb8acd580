"""Drawn screens say where their images are."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.synth.screens import SCREENS, Cine, draw_screen


def cine(level: int) -> Cine:
    inside = np.zeros((120, 160), np.bool_)
    inside[20:100, 30:130] = True
    frames = np.where(inside, level, 0).astype(np.uint8)
    return Cine(np.stack([frames + number * inside for number in range(6)]).astype(np.uint8), inside)


@pytest.mark.parametrize("kind", SCREENS)
def test_a_screen_is_the_same_for_one_seed_and_says_where_its_images_are(kind: str) -> None:
    one, other = (draw_screen(kind, cine(90), cine(60), np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.frames, other.frames)
    assert one.frames.dtype == np.uint8
    for beam in one.beams:
        assert beam.shape == one.frames.shape[1:]
        assert np.median(one.frames[-1][beam]) > 10


def test_pages_have_no_image() -> None:
    pages = {kind for kind in SCREENS if not draw_screen(kind, cine(90), cine(60), np.random.default_rng(1)).beams}
    assert pages == {"white-page", "dark-page", "uniform", "noise", "bars", "panels-only", "strip-only"}


def test_a_drawing_leaves_the_cine_alone() -> None:
    for kind in SCREENS:
        given = cine(90)
        before = given.frames.copy()
        draw_screen(kind, given, cine(60), np.random.default_rng(2))
        np.testing.assert_array_equal(given.frames, before)
