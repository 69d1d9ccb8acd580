"""The beam is found whatever its shape; overlays are outside it, dark lung is inside."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.preprocess import Beam, BeamShape, find_beam
from lusfx.preprocess.beam.evidence import mean_and_deviation
from lusfx.preprocess.beam.pieces import OPENING_PX, without_strokes
from lusfx.types import Box

Frames = NDArray[np.uint8]
Mask = NDArray[np.bool_]
HEIGHT, WIDTH = 300, 340


def sector_mask(generator: np.random.Generator, phased: bool) -> Mask:
    """A sector of random geometry."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    half_angle = np.radians(generator.uniform(25, 42))
    face = generator.uniform(2, 8) if phased else generator.uniform(70, 130)
    depth = generator.uniform(170, 230)
    apex_y = generator.uniform(15, 30) - face * np.cos(half_angle)
    radius, angle = np.hypot(y - apex_y, x - WIDTH / 2), np.arctan2(x - WIDTH / 2, y - apex_y)
    return (radius >= face) & (radius <= face + depth) & (np.abs(angle) <= half_angle)


def rectangle_mask(generator: np.random.Generator) -> Mask:
    x0, y0 = generator.integers(20, 80), generator.integers(10, 40)
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[y0 : generator.integers(230, 290), x0 : generator.integers(250, 320)] = True
    return mask


def speckle(mask: Mask, generator: np.random.Generator, n_frames: int = 8) -> Frames:
    """Speckle that changes over time, brighter at the top, inside a mask on black with compression noise."""
    field = generator.rayleigh(28, (n_frames, HEIGHT, WIDTH)) * np.linspace(1.4, 0.6, HEIGHT)[:, None]
    noise = generator.integers(0, 4, (n_frames, HEIGHT, WIDTH))
    return np.clip(np.where(mask, field + 8, noise), 0, 255).astype(np.uint8)


def overlap(found: Mask, truth: Mask) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def beam_of(frames: Frames, region: Box | None = None) -> Beam:
    return find_beam(list(frames), region, 0.5)


@pytest.mark.parametrize("seed", range(12))
def test_convex_sectors(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = sector_mask(generator, phased=False)
    beam = beam_of(speckle(truth, generator))
    assert overlap(beam.mask, truth) > 0.96
    assert beam.shape == BeamShape.SECTOR
    assert beam.confidence > 0.9


@pytest.mark.parametrize("seed", range(8))
def test_phased_sectors(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = sector_mask(generator, phased=True)
    beam = beam_of(speckle(truth, generator))
    assert overlap(beam.mask, truth) > 0.95
    assert beam.shape == BeamShape.PHASED
    assert beam.confidence > 0.9


@pytest.mark.parametrize("seed", range(8))
def test_linear_beams(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = rectangle_mask(generator)
    beam = beam_of(speckle(truth, generator))
    assert overlap(beam.mask, truth) > 0.96
    assert beam.shape == BeamShape.LINEAR
    assert beam.confidence > 0.9


@pytest.mark.parametrize("seed", range(6))
def test_a_shadow_and_an_effusion_stay_inside(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = sector_mask(generator, phased=False)
    frames = speckle(truth, generator)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    dark = (np.abs(x - WIDTH / 2 - 20) < 25) & (y > 90) | (np.hypot(x - WIDTH / 2 + 50, y - 150) < 30)
    frames[:, dark & truth] = 0
    beam = beam_of(frames)
    assert beam.mask[dark & truth].mean() > 0.93
    assert overlap(beam.mask, truth) > 0.9


@pytest.mark.parametrize("seed", range(4))
def test_overlays_are_outside(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = sector_mask(generator, phased=False)
    frames = speckle(truth, generator)
    overlay = np.zeros_like(truth)
    overlay[5:15, 5:90:3] = True  # text
    overlay[20:280:20, 330:338] = True  # depth ticks
    overlay[230:290, 4:14] = True  # grey bar
    overlay &= ~truth
    frames[:, overlay] = 230
    frames[::2, 285:288, 40:300] = 200  # a trace that runs beneath
    beam = beam_of(frames)
    assert beam.mask[overlay].mean() < 0.02
    assert overlap(beam.mask, truth) > 0.92


def test_a_still_is_enough() -> None:
    generator = np.random.default_rng(5)
    truth = sector_mask(generator, phased=False)
    assert overlap(beam_of(speckle(truth, generator, 1)).mask, truth) > 0.92


def test_a_sector_cut_by_the_frame_keeps_its_sides() -> None:
    generator = np.random.default_rng(3)
    truth = sector_mask(generator, phased=False)
    frames, truth = speckle(truth, generator)[:, 10:, 70:270], truth[10:, 70:270]
    assert overlap(beam_of(np.ascontiguousarray(frames)).mask, truth) > 0.93


def test_a_declared_region_is_not_left() -> None:
    generator = np.random.default_rng(1)
    left, right = np.zeros((2, HEIGHT, WIDTH), np.bool_)
    left[20:280, 10:150], right[20:280, 190:330] = True, True
    frames = speckle(left | right, generator)
    beam = beam_of(frames, Box(170, 0, 340, 300))
    assert overlap(beam.mask, right) > 0.93


@pytest.mark.parametrize("level", [0, 3])
def test_where_nothing_is_found_the_whole_frame_is_used_and_not_trusted(level: int) -> None:
    frames = np.full((4, 60, 80), level, np.uint8)
    beam = beam_of(frames)
    assert beam.confidence == 0
    assert beam.mask.all()
    assert beam.box == Box(0, 0, 80, 60)


def test_a_shape_that_explains_little_becomes_its_box() -> None:
    frames = np.zeros((4, 200, 200), np.uint8)
    frames[:, 20:180, 95:105] = 200
    frames[:, 95:105, 20:180] = 200
    beam = find_beam(list(frames), None, 0.95)
    assert beam.shape == BeamShape.UNKNOWN
    assert beam.mask[beam.box.y0 : beam.box.y1, beam.box.x0 : beam.box.x1].all()


def test_the_same_frames_give_the_same_beam() -> None:
    generator = np.random.default_rng(2)
    frames = speckle(sector_mask(generator, phased=False), generator)
    one, other = beam_of(frames), beam_of(frames.copy())
    np.testing.assert_array_equal(one.mask, other.mask)
    assert (one.box, one.confidence) == (other.box, other.confidence)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (16, 16), (700, 20)])
def test_odd_sizes_are_survived(size: tuple[int, int], generator: np.random.Generator) -> None:
    frames = generator.integers(0, 256, (3, *size), dtype=np.uint8)
    beam = beam_of(frames)
    assert beam.mask.shape == size
    assert beam.mask.any()


@pytest.mark.parametrize("n_frames", [1, 2, 12])
def test_the_deviation_is_numpys_to_the_last_bit(n_frames: int, generator: np.random.Generator) -> None:
    frames = list(generator.integers(0, 256, (n_frames, 40, 31), dtype=np.uint8))
    np.testing.assert_array_equal(mean_and_deviation(frames)[1], np.stack(frames).astype(np.float32).std(axis=0))


@pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
def test_strokes_are_cut_off_by_closing_and_opening(share: float, generator: np.random.Generator) -> None:
    from scipy import ndimage

    disc = np.hypot(*np.mgrid[-OPENING_PX : OPENING_PX + 1, -OPENING_PX : OPENING_PX + 1]) <= OPENING_PX
    mask = ndimage.uniform_filter(generator.random((60, 45)), 3) < np.quantile(generator.random(999), share)
    padded = np.pad(mask, 2 * OPENING_PX, mode="edge")
    wanted = ndimage.binary_opening(ndimage.binary_closing(padded, disc), disc)
    np.testing.assert_array_equal(without_strokes(mask), wanted[4:-4, 4:-4])
