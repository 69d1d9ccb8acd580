"""Conditions of an examination: each does to the picture what its name says, and the truth says what is still to be seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.synth import DEVICES, Findings, Habitus, PatientLook, SyntheticClip, simulate
from lusfx.synth.conditions import CLEAR, Conditions, draw_conditions
from lusfx.synth.geometry import beam_size_mm
from lusfx.synth.speckle import Texture

WALL = Habitus(wall_mm=20, fat_share=0.4, n_fascia=3, echo_db=-40, texture_db=3, bend=0.3, seed=5)
LOOK = PatientLook(DEVICES["synthetic-cart"], "convex", depth_mm=110, gain_db=0, attenuation_db_mm=0.0, habitus=WALL)
SEEDS = range(8)
HARDEST = {"rib_scale": 2.2, "window_scale": 0.55, "rib_softness": 3.5}


def drawn(findings: Findings, seed: int, look: PatientLook = LOOK, **conditions: float) -> SyntheticClip:
    return simulate(replace(look, conditions=Conditions(**conditions)), findings, seed=seed, n_frames=2)


def mean_frame(
    findings: Findings, seed: int, look: PatientLook = LOOK, **conditions: float
) -> NDArray[np.floating[Any]]:
    clip = drawn(findings, seed, look, **conditions)
    return np.where(clip.inside, clip.frames.mean(axis=0), np.nan)


def test_a_clear_examination_is_what_is_drawn_without_conditions() -> None:
    assert LOOK.conditions == CLEAR == Conditions()
    same = [simulate(look, Findings(b_lines=2), seed=3, n_frames=2) for look in (LOOK, replace(LOOK, conditions=CLEAR))]
    assert np.array_equal(same[0].frames, same[1].frames)


def test_a_generator_gives_its_conditions() -> None:
    first, again, other = (draw_conditions(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("findings", "condition"),
    [
        (Findings(b_lines=6), {"b_line_db": -10.0}),
        (Findings(b_lines=6), {"b_line_fading_db_mm": 0.3}),
        (Findings(a_lines=4), {"a_line_db": -12.0}),
    ],
)
def test_findings_stand_out_less(findings: Findings, condition: dict[str, float]) -> None:
    """Of each seed: what the findings add to the same picture without them, in both conditions."""
    for seed in SEEDS:
        clear, hard = (
            np.nanmean(np.abs(mean_frame(findings, seed, **given) - mean_frame(Findings(), seed, **given)))
            for given in ({}, condition)
        )
        assert hard < clear


def test_haze_lifts_the_ground_and_no_wall() -> None:
    """The pleura lies some 50 px below the face, and 16 px above that are left free."""
    for seed in SEEDS:
        change = mean_frame(Findings(), seed, haze_db=8) - mean_frame(Findings(), seed)
        assert np.nanmean(change[150:]) > 2
        assert abs(np.nanmean(change[:40])) < 1


@pytest.mark.parametrize("condition", ["streaks_db", "shading_db", "columns_db", "echoes_db"])
def test_the_ground_becomes_uneven(condition: str) -> None:
    """In decibels, so that what is brighter does not count for more; ribs' shadows are the same in both."""

    def roughness(**given: float) -> float:
        frames = (mean_frame(Findings(), seed, **given)[120:] for seed in SEEDS)
        return float(np.mean([np.nanstd(np.log(frame + 5)) for frame in frames]))

    assert roughness(**{condition: 5.0}) > roughness()


def test_broad_ribs_swallow_more_of_the_sector() -> None:
    """Of the patients whose transducer lies across the ribs; along them there are none to swallow anything."""
    darker = [
        np.nanmean(mean_frame(Findings(), seed, rib_scale=2.0, window_scale=0.6, rib_softness=2.0)[100:])
        < np.nanmean(mean_frame(Findings(), seed)[100:])
        for seed in range(24)
    ]
    assert sum(darker) >= 8


def test_some_of_the_window_stays_open_under_the_broadest_ribs() -> None:
    """So that findings have a place, and the truth counts what is in it."""
    counted = [
        max(frame.n_b_lines for frame in drawn(Findings(b_lines=3), seed, **HARDEST).truth) for seed in range(24)
    ]
    assert min(counted) >= 1


def test_a_cut_face_leaves_no_gap_above_the_beam() -> None:
    device = LOOK.device
    whole, cut = (
        simulate(
            replace(LOOK, device=replace(device, placement=replace(device.placement, face_cut=share))),
            Findings(),
            seed=1,
            n_frames=1,
        )
        for share in (0.0, 1.0)
    )
    top = device.placement.y0
    middle = whole.inside.shape[1] // 2
    assert not whole.inside[top + 1, middle]
    assert cut.inside[top + 1, middle]


@pytest.mark.parametrize("kind", ["convex", "phased", "linear"])
def test_a_beams_size_is_that_of_its_outline(kind: Any) -> None:
    transducer = LOOK.device.transducer(kind)
    width, height = beam_size_mm(transducer, 100, 0.0)
    if kind == "linear":
        assert (width, height) == (transducer.width_mm, 100)
    else:
        angle = np.radians(transducer.half_angle_deg)
        assert width == pytest.approx(2 * (100 + transducer.radius_mm) * np.sin(angle))
        assert height == pytest.approx(100 + transducer.radius_mm * (1 - np.cos(angle)))
        assert beam_size_mm(transducer, 100, 1.0) == pytest.approx((width, 100))


def test_torn_layers_are_darker_and_a_fine_wall_is_rougher() -> None:
    for seed in range(4):
        wall = replace(WALL, seed=seed, n_fascia=8)
        whole, torn = (
            mean_frame(Findings(), 1, replace(LOOK, habitus=replace(wall, torn=share)))[16:66] for share in (0.0, 0.8)
        )
        assert np.nanmean(torn) < np.nanmean(whole)


def test_texture_is_of_the_picture_and_new_in_each_frame() -> None:
    still = replace(LOOK, device=replace(LOOK.device, persistence=0.0))
    rough = replace(still, device=replace(still.device, texture=Texture(4.0, 0.7, 1.5)))
    plain, textured = (simulate(look, Findings(), seed=2, n_frames=2).frames.astype(int) for look in (still, rough))
    added = textured - plain
    assert np.abs(added).mean() > 1
    assert np.abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.2
