"""Synthetic frames show what lung ultrasound shows: repetitions, B-lines, sliding; and the same for the same seed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from lusfx.errors import UsageError
from lusfx.synth import LungPattern, PatientLook, simulate

A_LINES = LungPattern(a_lines=True, n_b_lines=0)
BARE = LungPattern(a_lines=False, n_b_lines=0)
ONE_B_LINE = LungPattern(a_lines=False, n_b_lines=1)
BREATH = {"n_frames": 20, "frame_rate_hz": 5}
"""Frames of one whole breath."""
PROMINENCE = 40
"""Grey levels by which an A-line stands out of an axial profile, and speckle does not."""


def rows_of(look: PatientLook, shallow_mm: float, deep_mm: float, side_px: int = 224) -> slice:
    """Rows between two depths of a linear array's picture, which has a border of 4 per cent."""
    first, last = (round((0.04 + 0.92 * depth / look.depth_mm) * (side_px - 1)) for depth in (shallow_mm, deep_mm))
    return slice(first, last)


def b_line_columns(frames: NDArray[np.uint8], look: PatientLook) -> NDArray[np.intp]:
    """Column of the one B-line in each frame, to the nearest pixel."""
    deep = frames[:, rows_of(look, 40, 105)].mean(axis=1)
    return signal.convolve(deep, np.ones((1, 5)), mode="same").argmax(axis=1)


def lung_shift(first: NDArray[np.uint8], second: NDArray[np.uint8], largest: int = 20) -> int:
    """Columns by which a picture's speckle has moved to the right: the best of the correlations."""
    inner = slice(largest, first.shape[1] - largest)
    correlations = [
        np.corrcoef(first[:, inner].ravel(), np.roll(second, -shift, axis=1)[:, inner].ravel())[0, 1]
        for shift in range(-largest, largest + 1)
    ]
    return int(np.argmax(correlations)) - largest


@pytest.mark.parametrize("side_px", [64, 193, 224, 256])
def test_frames_are_grey_and_square(look: PatientLook, side_px: int) -> None:
    frames = simulate(look, A_LINES, seed=1, n_frames=3, side_px=side_px)
    assert frames.shape == (3, side_px, side_px)
    assert frames.dtype == np.uint8
    assert frames.min() == 0
    assert 150 < frames.max() <= 235


def test_a_seed_gives_the_same_pixels_and_another_seed_others(look: PatientLook) -> None:
    pattern = LungPattern(a_lines=True, n_b_lines=2)
    first, again, other = (simulate(look, pattern, seed=seed, n_frames=3) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_nothing_depends_on_numpys_global_generator(look: PatientLook) -> None:
    before = np.random.get_state()[1].copy()
    simulate(look, A_LINES, seed=1, n_frames=1)
    assert np.array_equal(np.random.get_state()[1], before)


def test_more_frames_begin_with_the_same_ones(look: PatientLook) -> None:
    assert np.array_equal(simulate(look, A_LINES, seed=3, n_frames=2), simulate(look, A_LINES, seed=3, n_frames=6)[:2])


def beam_of(look: PatientLook, side_px: int = 224) -> NDArray[np.bool_]:
    """The beam's pixels: gain this high leaves none of them black, and none dimmer than the word outside."""
    white: NDArray[np.bool_] = simulate(replace(look, gain_db=200), BARE, seed=1, n_frames=1, side_px=side_px)[0] > 230
    return white


def test_the_beam_has_its_transducers_shape(look: PatientLook) -> None:
    beam = beam_of(look)
    assert np.abs(beam.astype(int) - beam[:, ::-1]).sum() < 0.01 * beam.sum()  # symmetric
    widths = beam.sum(axis=1)[beam.any(axis=1)]
    if look.convex:
        assert widths[20] < 0.6 * widths.max()
    else:
        assert len(set(widths)) == 1


def test_outside_the_beam_stands_the_word_synthetic_and_nothing_else(look: PatientLook) -> None:
    beam = beam_of(look)
    frames = simulate(look, LungPattern(a_lines=True, n_b_lines=3), seed=2, n_frames=4)
    assert frames[:, beam].mean() > 30
    outside = np.where(beam, 0, frames)
    assert (outside == outside[0]).all()
    rows, columns = np.nonzero(outside[0])
    assert len(rows) > 100  # the word, upright in the upper left corner
    assert 45 < rows.max() < 70
    assert columns.max() < 16


def test_a_picture_with_no_room_for_the_word_beside_the_beam_goes_without(linear_look: PatientLook) -> None:
    frame = simulate(linear_look, A_LINES, seed=1, n_frames=1, side_px=64)[0]
    assert not frame[~beam_of(linear_look, side_px=64)].any()


@pytest.mark.parametrize("wall_mm", [16.0, 21.0, 26.0])
def test_a_lines_lie_at_multiples_of_the_pleural_depth(look: PatientLook, axial_profile: Any, wall_mm: float) -> None:
    patient = replace(look, wall_mm=wall_mm)
    depths_mm, grey = axial_profile(simulate(patient, A_LINES, seed=4, **BREATH), patient)
    beneath = depths_mm > 0.8 * wall_mm
    peaks, _ = signal.find_peaks(grey[beneath], prominence=PROMINENCE, distance=5)
    found_mm = depths_mm[beneath][peaks]
    expected_mm = wall_mm * np.arange(1, 5)
    expected_mm = expected_mm[expected_mm < patient.depth_mm - 3]
    assert found_mm == pytest.approx(expected_mm, abs=1.5)


def test_a_lines_fade_with_each_repetition(look: PatientLook, axial_profile: Any) -> None:
    depths_mm, grey = axial_profile(simulate(look, A_LINES, seed=4, **BREATH), look)
    heights = [grey[np.abs(depths_mm - order * look.wall_mm) < 1.5].max() for order in (1, 2, 3, 4)]
    assert heights == sorted(heights, reverse=True)


def test_lung_without_a_lines_shows_no_repetition(look: PatientLook, axial_profile: Any) -> None:
    depths_mm, grey = axial_profile(simulate(look, BARE, seed=4, **BREATH), look)
    peaks, _ = signal.find_peaks(grey[depths_mm > 1.2 * look.wall_mm], prominence=PROMINENCE)
    assert len(peaks) == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_b_line_begins_at_the_pleura_and_reaches_the_bottom_undimmed(linear_look: PatientLook, seed: int) -> None:
    frames = simulate(linear_look, ONE_B_LINE, seed=seed, n_frames=6)
    column = b_line_columns(frames, linear_look)[0]
    ray = slice(column - 2, column + 3)
    beside = np.r_[20 : column - 14, column + 14 : 204]

    def grey(shallow_mm: float, deep_mm: float, columns: slice | NDArray[np.intp]) -> float:
        return float(frames[0, rows_of(linear_look, shallow_mm, deep_mm)][:, columns].mean())

    for shallow_mm in (26, 46, 66, 86):
        assert grey(shallow_mm, shallow_mm + 20, ray) > grey(shallow_mm, shallow_mm + 20, beside) + 50
    assert grey(86, 106, ray) == pytest.approx(grey(26, 46, ray), rel=0.15)
    assert grey(4, 18, ray) == pytest.approx(grey(4, 18, beside), rel=0.15)  # none of it in the chest wall


def test_b_lines_erase_a_lines(linear_look: PatientLook) -> None:
    with_a_lines, without = (
        simulate(linear_look, LungPattern(a_lines, n_b_lines=1), seed=8, n_frames=4).astype(int)
        for a_lines in (True, False)
    )
    difference = np.abs(with_a_lines - without)[:, rows_of(linear_look, 40, 48)]  # about the first repetition
    for frame, column in zip(difference, b_line_columns(without.astype(np.uint8), linear_look), strict=True):
        assert frame[:, column - 1 : column + 2].max() == 0
        assert frame[:, np.r_[25 : column - 12, column + 12 : 200]].max(axis=0).min() > 30


@pytest.mark.parametrize("seed", range(3))
def test_b_lines_slide_with_the_lung_and_the_chest_wall_stands_still(linear_look: PatientLook, seed: int) -> None:
    # B-lines and lung are looked at apart: one seed has the same breath, whatever the pattern.
    columns = b_line_columns(simulate(linear_look, ONE_B_LINE, seed=seed, **BREATH), linear_look)
    lung = simulate(linear_look, BARE, seed=seed, **BREATH)
    left, right = int(columns.argmin()), int(columns.argmax())
    moved = int(columns[right] - columns[left])
    assert 10 <= moved <= 18
    beneath, wall = rows_of(linear_look, 28, 60), rows_of(linear_look, 2, 18)
    assert lung_shift(lung[left, beneath], lung[right, beneath]) == pytest.approx(moved, abs=2)
    assert lung_shift(lung[left, wall], lung[right, wall]) == 0


def test_the_lung_has_no_seam_where_it_slides_in(linear_look: PatientLook) -> None:
    """Neighbouring columns are alike everywhere: the speckle is wider than a beam line."""
    lung = simulate(replace(linear_look, gain_db=12), BARE, seed=2, **BREATH)[:, rows_of(linear_look, 60, 105), 20:204]
    lung = lung.astype(float)
    steps = np.abs(np.diff(lung, axis=2)).mean(axis=1)
    assert steps.max() < 2.5 * np.median(steps)


def test_more_severe_lung_is_whiter(look: PatientLook) -> None:
    patterns = [BARE, LungPattern(False, 2), LungPattern(False, 4), LungPattern(False, 9, b_line_width=0.07)]
    white = []
    for pattern in patterns:
        frames = np.concatenate([simulate(look, pattern, seed=seed, n_frames=2) for seed in range(6)])
        white.append((frames[:, 150:200] > 110).mean())
    assert all(after > 1.3 * before for before, after in pairwise(white)), white


def test_gain_and_attenuation_act_as_their_names_say(linear_look: PatientLook) -> None:
    def grey(look: PatientLook, shallow_mm: float, deep_mm: float) -> float:
        return float(simulate(look, BARE, seed=1, n_frames=1)[0, rows_of(look, shallow_mm, deep_mm), 20:204].mean())

    louder, dimmer = replace(linear_look, gain_db=3), replace(linear_look, attenuation_db_mm=0.22)
    assert grey(louder, 2, 18) > grey(linear_look, 2, 18) + 8
    assert grey(linear_look, 60, 100) - grey(dimmer, 60, 100) > 10
    assert abs(grey(linear_look, 2, 6) - grey(dimmer, 2, 6)) < 4


def test_looks_differ_and_keep_the_pleura_and_a_repetition_in_view() -> None:
    looks = [PatientLook.draw(np.random.default_rng(seed)) for seed in range(200)]
    assert len({look.wall_mm for look in looks}) == 200
    assert 0.65 < np.mean([look.convex for look in looks]) < 0.95
    assert all(2 * look.wall_mm < look.depth_mm - 10 for look in looks)


@pytest.mark.parametrize("wrong", [{"n_frames": 0}, {"side_px": 0}, {"frame_rate_hz": 0}, {"seed": -1}])
def test_senseless_cines_are_refused(linear_look: PatientLook, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="at least"):
        simulate(linear_look, BARE, **{"seed": 1, **wrong})
