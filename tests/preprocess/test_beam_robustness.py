"""What makes real beams hard to find: shadows that hide a side, tissue that shadows cut off, overlays of all kinds, rubbish."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lusfx.preprocess import BeamShape, find_beam
from lusfx.types import Box

Sector = Any  # conftest.Sector; conftest modules cannot be imported


def overlap(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize("side", [-1, 1])
def test_a_side_hidden_by_a_shadow_is_known_from_the_other(sector: Sector, side: int) -> None:
    """The transducer's face is lit from side to side; below it, a third of the beam is black."""
    dark = (side * sector.angle > 0.3 * sector.half_angle) & (sector.radius > sector.face + 25)
    frames = sector.frames(dark)
    beam = find_beam(list(frames), None, 0.5)
    assert beam.shape is BeamShape.SECTOR
    assert beam.mask[sector.mask & ~dark].mean() > 0.98
    assert overlap(beam.mask, sector.mask) > 0.85


def test_tissue_that_a_shadow_cuts_off_stays_inside(sector: Sector) -> None:
    depth = (sector.radius - sector.face) / sector.depth
    island = (depth > 0.75) & (np.abs(sector.angle) < 0.8 * sector.half_angle)
    dark = (depth > 0.6) & ~island
    beam = find_beam(list(sector.frames(dark)), None, 0.5)
    assert beam.mask[sector.mask & island].mean() > 0.98
    assert overlap(beam.mask, sector.mask) > 0.93


def test_a_shadow_at_the_border_of_a_full_frame_cuts_nothing() -> None:
    """Rows that reach the frame's border forbid a side that would cut them."""
    generator = np.random.default_rng(0)
    frames = np.clip(8 + generator.rayleigh(28, (8, 240, 240)), 0, 255).astype(np.uint8)
    y, x = np.mgrid[:240, :240]
    frames[:, (x > 300 - 0.6 * y) & (y < 215)] = 0
    lit = frames.max(axis=0) > 0
    beam = find_beam(list(frames), None, 0.5)
    assert beam.mask[lit].mean() > 0.99


def test_a_crop_that_cuts_one_side_keeps_the_other(sector: Sector) -> None:
    frames, truth = sector.frames()[:, 40:, 170:], sector.mask[40:, 170:]
    beam = find_beam(list(np.ascontiguousarray(frames)), None, 0.5)
    assert beam.mask[truth].mean() > 0.98
    assert overlap(beam.mask, truth) > 0.85


def test_a_trace_that_sweeps_beneath_is_outside(sector: Sector) -> None:
    """An electrocardiogram: thin, moving, as wide as the beam."""
    frames = sector.frames()
    x = np.arange(20, 320)
    trace = np.zeros_like(sector.mask)
    for index, frame in enumerate(frames):
        beat = ((x - 20 + 9 * index) % 60 < 3) * 14
        rows = (288 - beat).astype(int)
        for thickness in range(2):
            frame[rows + thickness, x] = 220
            trace[rows + thickness, x] = True
    beam = find_beam(list(frames), None, 0.5)
    assert beam.mask[trace & ~sector.mask].mean() < 0.02
    assert overlap(beam.mask, sector.mask) > 0.95


def test_screen_furniture_is_outside(sector: Sector) -> None:
    """A logo, a grey bar, a depth scale, lines of text: bright, and the same in all frames."""
    furniture = np.zeros_like(sector.mask)
    furniture[8:40, 6:50] = True  # logo
    furniture[60:260, 2:14] = True  # grey bar
    furniture[20:290:12, 328:338] = True  # ticks
    furniture[6:14, 230:335:2] = True  # name and date
    furniture &= ~sector.mask
    frames = sector.frames()
    frames[:, furniture] = np.tile(np.linspace(255, 60, 300)[:, None], (1, 340)).astype(np.uint8)[furniture]
    beam = find_beam(list(frames), None, 0.5)
    assert not (beam.mask & furniture)[:, 14:326].any()
    assert (beam.mask & furniture).sum() < 0.02 * furniture.sum()
    assert overlap(beam.mask, sector.mask) > 0.95


def test_letters_that_touch_the_beam_do_not_widen_it(sector: Sector) -> None:
    frames = sector.frames()
    rows, columns = np.nonzero(sector.mask)
    leftmost = int(columns[rows == 150].min())
    frames[:, 148:156, leftmost - 40 : leftmost + 3 : 3] = 240
    frames[:, 150, leftmost - 40 : leftmost + 3] = 240
    assert overlap(find_beam(list(frames), None, 0.5).mask, sector.mask) > 0.95


def test_a_second_image_beside_is_not_joined() -> None:
    """A dual display: two beams that both move."""
    generator = np.random.default_rng(1)
    frames = np.zeros((8, 240, 400), np.uint8)
    y, x = np.mgrid[:240, :400]
    larger = (np.abs(x - 110) < 30 + 0.3 * y) & (y > 10) & (y < 230)
    smaller = (np.abs(x - 330) < 15 + 0.15 * y) & (y > 60) & (y < 200)
    frames[:, larger | smaller] = np.clip(8 + generator.rayleigh(28, (8, (larger | smaller).sum())), 0, 255)
    beam = find_beam(list(frames), None, 0.5)
    assert beam.mask[larger].mean() > 0.95
    assert beam.mask[smaller].mean() < 0.05


def test_a_zoomed_part_in_a_corner_is_not_joined(sector: Sector) -> None:
    frames = sector.frames()
    corner = np.s_[4:54, 4:64]
    assert not sector.mask[corner].any()
    frames[:, *corner] = 8 + sector.generator.rayleigh(28, (8, 50, 60)).clip(0, 240)
    beam = find_beam(list(frames), None, 0.5)
    assert not beam.mask[corner].any()
    assert overlap(beam.mask, sector.mask) > 0.95


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_an_image_may_lie_on_its_side_or_its_head(sector: Sector, turns: int) -> None:
    frames = np.rot90(sector.frames(), turns, axes=(1, 2))
    beam = find_beam([np.ascontiguousarray(frame) for frame in frames], None, 0.5)
    assert overlap(beam.mask, np.rot90(sector.mask, turns)) > 0.95
    assert beam.shape is BeamShape.SECTOR


def test_half_of_a_beam_without_contact_belongs_to_it() -> None:
    generator = np.random.default_rng(3)
    y, x = np.mgrid[:480, :640].astype(float)
    radius, angle = np.hypot(y + 60, x - 320), np.degrees(np.arctan2(x - 320, y + 60))
    truth = (radius >= 130) & (radius <= 500) & (np.abs(angle) <= 33)
    frames = np.where(truth & (x < 400), np.clip(8 + generator.rayleigh(28, (6, 480, 640)), 0, 255), 0).astype(np.uint8)
    assert overlap(find_beam(list(frames), None, 0.5).mask, truth) > 0.95


@pytest.mark.parametrize("tilt_deg", [-30, 30])
@pytest.mark.parametrize("face", [4, 120])
def test_a_wide_sector_may_lean_so_far_that_a_side_is_nearly_upright(tilt_deg: int, face: int) -> None:
    generator = np.random.default_rng(2)
    y, x = np.mgrid[:480, :640].astype(float)
    radius, angle = np.hypot(y - 60 + face, x - 320), np.degrees(np.arctan2(x - 320, y - 60 + face))
    truth = (radius >= face) & (radius <= face + 330) & (np.abs(angle - tilt_deg) <= 35)
    frames = np.where(truth, np.clip(8 + generator.rayleigh(28, (6, 480, 640)), 0, 255), 0).astype(np.uint8)
    assert overlap(find_beam(list(frames), None, 0.5).mask, truth) > 0.95


@pytest.mark.parametrize(("depth_px", "found"), [(2, True), (6, False)])
def test_a_picture_that_fills_the_frame_is_tissue_only_if_it_lies_in_layers(depth_px: int, found: bool) -> None:
    """Echoes are wider than they are deep; what a camera sees is not."""
    generator = np.random.default_rng(4)
    fields = gaussian_filter(generator.normal(size=(6, 240, 300)), (0, depth_px, 6))
    frames = np.clip(90 + 60 * fields / fields.std(), 0, 255).astype(np.uint8)
    beam = find_beam(list(frames), None, 0.5)
    assert beam.mask.all()
    assert (beam.shape is not BeamShape.UNKNOWN) == found


def test_specks_are_no_beam(generator: np.random.Generator) -> None:
    frames = np.where(generator.random((6, 200, 200)) < 0.004, 255, 0).astype(np.uint8)
    beam = find_beam(list(frames), None, 0.5)
    assert beam.confidence == 0
    assert beam.shape is BeamShape.UNKNOWN
    assert beam.mask.all()


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (Box(-10, -10, 500, 500), Box(0, 0, 80, 60)),
        (Box(90, 10, 120, 40), Box(0, 0, 80, 60)),
        (Box(70, 50, 99, 99), Box(70, 50, 80, 60)),
    ],
)
def test_a_region_beyond_the_frame_is_cut_to_it(region: Box, expected: Box) -> None:
    assert find_beam([np.zeros((60, 80), np.uint8)], region, 0.5).box == expected


@settings(max_examples=60)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    seed=st.integers(0, 2**16),
    n_blobs=st.integers(0, 6),
    min_confidence=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_whatever_is_shown_there_is_a_mask_in_its_box(
    height: int, width: int, seed: int, n_blobs: int, min_confidence: float
) -> None:
    generator = np.random.default_rng(seed)
    frames = np.zeros((3, height, width), np.uint8)
    y, x = np.mgrid[:height, :width]
    for _ in range(n_blobs):
        a, b, c = generator.uniform(-1, 1, 3)
        stripe = np.abs(a * (x - width * generator.random()) + b * (y - height * generator.random())) < 12 * abs(c)
        frames[:, stripe] = generator.integers(0, 255, (3, int(stripe.sum())))
    beam = find_beam(list(frames), None, min_confidence)
    assert beam.mask.shape == (height, width)
    assert 0 <= beam.confidence <= 1
    ys, xs = np.nonzero(beam.mask)
    assert beam.box == Box(xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
