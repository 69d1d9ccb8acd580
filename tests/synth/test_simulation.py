"""Synthetic frames show what lung ultrasound shows: repetitions, B-lines, sliding, fluid; and the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.errors import UsageError
from lusfx.preprocess.beam import find_beam
from lusfx.synth import DEVICES, Findings, Habitus, PatientLook, SyntheticClip, simulate, simulation
from lusfx.synth.consolidation import Consolidation
from lusfx.synth.costophrenic import Costophrenic
from lusfx.synth.geometry import Grid, polar_grid
from lusfx.synth.overlay import MARK, MARK_GREY
from lusfx.synth.wall import ChestWall, build_wall

Ruler = Callable[[SyntheticClip, float, float], NDArray[np.float64]]
HEALTHY = Findings(a_lines=3)
WHITE = Findings(b_lines=9, b_line_mm=7, irregularity=0.7)
SEEDS = range(6)


def axial(clip: SyntheticClip, look: PatientLook) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Depths (mm) and mean grey along the beam's axis."""
    middle = round(clip.face_px[0])
    rows = np.nonzero(clip.inside[:, middle])[0]
    grey = clip.frames[:, rows, middle - 4 : middle + 5].mean(axis=(0, 2))
    return (rows - clip.face_px[1]) / clip.px_per_mm, grey


def test_a_seed_gives_the_same_cine(convex: PatientLook) -> None:
    first, again = (simulate(convex, HEALTHY, seed=3, n_frames=3) for _ in range(2))
    np.testing.assert_array_equal(first.frames, again.frames)
    assert first.truth == again.truth
    assert (simulate(convex, HEALTHY, seed=4, n_frames=3).frames != first.frames).any()


def test_frames_follow_one_another_whatever_their_number(convex: PatientLook) -> None:
    short, long = (simulate(convex, HEALTHY, seed=3, n_frames=n) for n in (2, 5))
    np.testing.assert_array_equal(short.frames, long.frames[:2])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lines_lie_at_multiples_of_the_pleuras_depth(convex: PatientLook, seed: int) -> None:
    clip = simulate(convex, HEALTHY, seed=seed, n_frames=6)
    depths, grey = axial(clip, convex)
    wall = convex.habitus.wall_mm
    for order in (1, 2, 3):
        near = np.abs(depths - order * wall) < 5
        assert abs(depths[near][grey[near].argmax()] - order * wall) < 1.5, order
    between = grey[np.abs(depths - 2.5 * wall) < 3].mean()
    assert grey[np.abs(depths - 2 * wall) < 1].max() > between + 20


@pytest.mark.parametrize("seed", SEEDS)
def test_only_the_a_lines_asked_for_are_drawn(convex: PatientLook, seed: int) -> None:
    def stands_out(n: int, order: int) -> float:
        depths, grey = axial(simulate(convex, Findings(a_lines=n), seed=seed, n_frames=6), convex)
        distance = np.abs(depths - order * convex.habitus.wall_mm)
        return float(grey[distance < 1].mean() - grey[(distance > 4) & (distance < 7)].mean())

    assert stands_out(1, 2) > stands_out(0, 2) + 15
    assert stands_out(2, 3) > stands_out(1, 3) + 15


@pytest.mark.parametrize("seed", SEEDS)
def test_b_lines_reach_the_bottom_without_fading(linear: PatientLook, between: Ruler, seed: int) -> None:
    clip = simulate(linear, Findings(b_lines=1, b_line_mm=4), seed=seed, n_frames=4)
    if not all(truth.n_b_lines for truth in clip.truth):
        pytest.skip("this one is not to be seen all the time")
    column = int(between(clip, 30, 70).mean(axis=(0, 1)).argmax())
    ray = np.s_[:, :, max(column - 3, 0) : column + 4]
    upper, bottom = between(clip, 28, 40)[ray].mean(), between(clip, 60, 73)[ray].mean()
    assert bottom > 0.85 * upper
    assert bottom > between(clip, 60, 73).mean() + 25  # not so the lung beside it


def test_b_lines_erase_a_lines(convex: PatientLook) -> None:
    both = replace(WHITE, a_lines=3)
    assert all(truth.a_lines for truth in simulate(convex, HEALTHY, seed=1, n_frames=2).truth)
    assert not any(truth.a_lines for truth in simulate(convex, both, seed=1, n_frames=2).truth)


@pytest.mark.parametrize("n", [0, 1, 3, 6])
def test_b_lines_that_are_seen_are_counted(convex: PatientLook, n: int) -> None:
    counts = [truth.n_b_lines for seed in SEEDS for truth in simulate(convex, Findings(b_lines=n), seed=seed).truth]
    assert max(counts) == n
    assert np.mean(counts) >= 0.6 * n


def test_b_lines_come_and_go_with_the_breath(convex: PatientLook) -> None:
    counts = [truth.n_b_lines for truth in simulate(convex, Findings(b_lines=6), seed=2, n_frames=120).truth]
    assert len(set(counts)) > 1


@pytest.mark.parametrize("seed", SEEDS)
def test_more_and_wider_b_lines_are_brighter(convex: PatientLook, seed: int) -> None:
    def grey(findings: Findings) -> float:
        clip = simulate(convex, findings, seed=seed, n_frames=2)
        depths, profile = axial(clip, convex)
        return float(profile[(depths > 40) & (depths < 100)].mean())

    assert grey(WHITE) > grey(Findings()) + 20


@pytest.fixture
def moved(linear: PatientLook, between: Ruler) -> Callable[..., float]:
    """How much the grey between two depths changes over two breaths, beside what the hand's unrest does."""

    def measure(
        findings: Findings, seed: int, shallow_mm: float, deep_mm: float, monkeypatch: pytest.MonkeyPatch
    ) -> float:
        monkeypatch.setattr(simulation, "HAND_LINES", 0.0)
        look = replace(linear, device=replace(linear.device, noise_db=-120, noise_slope_db_mm=0, persistence=0))
        frames = between(simulate(look, findings, seed=seed, n_frames=120), shallow_mm, deep_mm)
        return float(frames.std(axis=0).mean())

    return measure


@pytest.mark.parametrize("seed", SEEDS)
def test_lung_that_slides_moves_and_the_wall_and_other_lung_stand_still(
    moved: Callable[..., float], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall, lung = (2, 18), (25, 40)
    assert moved(Findings(), seed, *lung, monkeypatch) > 2
    assert moved(Findings(), seed, *wall, monkeypatch) < 0.5
    assert moved(Findings(sliding=False), seed, *lung, monkeypatch) < 0.5


def test_lung_pulse_is_a_small_movement(moved: Callable[..., float], monkeypatch: pytest.MonkeyPatch) -> None:
    still, pulse, sliding = (
        moved(findings, 1, 25, 40, monkeypatch)
        for findings in (Findings(sliding=False), Findings(sliding=False, pulse=True), Findings())
    )
    assert still < pulse < sliding


def test_the_hand_is_never_quite_at_rest(linear: PatientLook, between: Ruler) -> None:
    frames = between(simulate(linear, Findings(sliding=False), seed=1, n_frames=120), 2, 18)
    assert 0.2 < frames.std(axis=0).mean() < 15


@pytest.fixture
def scene(convex: PatientLook, generator: np.random.Generator) -> tuple[Grid, ChestWall]:
    grid = polar_grid(convex.transducer, convex.depth_mm)
    return grid, build_wall(grid, convex.device.grain, convex.habitus, generator, ribs=False, tilt_mm=0)


def test_the_lungs_edge_is_a_curtain(scene: tuple[Grid, ChestWall], generator: np.random.Generator) -> None:
    view = Costophrenic(*scene, Findings(view="pleural"), generator)
    out, middle, breathed_in = (view.frame(breath, 0).lung.sum() for breath in (-1, 0, 1))
    assert out < middle < breathed_in


@pytest.mark.slow
def test_fluid_is_dark_and_grows(convex: PatientLook) -> None:
    def dark_of(seed: int, effusion_mm: float, floating: bool) -> float:
        """Share of the left half, from the wall to 6 cm, that is much darker than the organ on the right."""
        findings = Findings(view="pleural", effusion_mm=effusion_mm, atelectasis=floating)
        clip = simulate(replace(convex, gain_db=3), findings, seed=seed, n_frames=4)
        first, last = (round(clip.face_px[1] + depth * clip.px_per_mm) for depth in (25, 60))
        middle = round(clip.face_px[0])
        grey = clip.frames.mean(axis=0)
        organ = np.median(grey[first:last, middle + 10 : middle + 40])
        part = np.s_[first:last, middle - 60 : middle + 10]
        return float((grey[part] < 0.55 * organ)[clip.inside[part]].mean())

    def dark(effusion_mm: float, floating: bool = False) -> float:
        return float(np.mean([dark_of(seed, effusion_mm, floating) for seed in SEEDS]))

    none, little, much = dark(0), dark(12), dark(40)
    assert none + 0.02 < little < much - 0.02
    assert dark(40, floating=True) > none + 0.1


@pytest.mark.parametrize("effusion_mm", [0.0, 10.0, 25.0, 50.0])
def test_effusion_is_true_of_the_frames_that_show_it(convex: PatientLook, effusion_mm: float) -> None:
    findings = Findings(view="pleural", effusion_mm=effusion_mm)
    seen = [truth.effusion for seed in range(10) for truth in simulate(convex, findings, seed=seed, n_frames=2).truth]
    assert np.mean(seen) == 0 if effusion_mm == 0 else np.mean(seen) > (0.5 if effusion_mm < 15 else 0.9)


def test_lung_without_air_leaves_none_to_look_for_lines_in(convex: PatientLook) -> None:
    findings = Findings(view="pleural", effusion_mm=45, atelectasis=True)
    for truth in simulate(convex, findings, seed=1, n_frames=2).truth:
        assert not truth.lung
        assert truth.consolidation
        assert (truth.n_b_lines, truth.a_lines) == (0, False)


def test_consolidation_has_a_torn_border(scene: tuple[Grid, ChestWall], generator: np.random.Generator) -> None:
    grid, wall = scene
    patch = Consolidation(grid, generator, surface_mm=wall.pleura_mm, thickness_mm=30, room=(-0.5, 0.5))
    within, *_, covered = patch.frame(0)
    assert within[grid.depth_mm[:, 0] < 20].max() < 0.2
    reach = (within > 0.5).sum(axis=0) * grid.step_mm
    assert 20 < reach.max() < 45
    assert np.abs(np.diff(reach[covered > 0.6])).mean() > 0.5


def test_gain_and_attenuation_act_as_their_names_say(convex: PatientLook) -> None:
    def grey(look: PatientLook, shallow_mm: float, deep_mm: float) -> float:
        depths, profile = axial(simulate(look, WHITE, seed=1, n_frames=2), look)
        return float(profile[(depths > shallow_mm) & (depths < deep_mm)].mean())

    assert grey(replace(convex, gain_db=6), 4, 18) > grey(convex, 4, 18) + 8
    healthy = simulate(convex, Findings(), seed=1, n_frames=2)
    dimmer = simulate(replace(convex, attenuation_db_mm=0.15), Findings(), seed=1, n_frames=2)
    assert dimmer.frames.mean() < healthy.frames.mean() - 2


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("probe", ["convex", "linear", "phased"])
@pytest.mark.parametrize("findings", [HEALTHY, Findings(view="pleural", effusion_mm=20)], ids=["lung", "fluid"])
def test_the_beam_is_found_on_every_machine(device: str, probe: Any, findings: Findings) -> None:
    depth = 70 if probe == "linear" else 110
    look = PatientLook(DEVICES[device], probe, depth, 0, 0.04, Habitus(20, 0.4, 3, -40, 3, 0.3, 1))
    clip = simulate(look, findings, seed=2, n_frames=6)
    beam = find_beam(list(clip.frames), None, 0.8)
    assert (beam.mask & clip.inside).sum() / (beam.mask | clip.inside).sum() > 0.88
    assert beam.shape.value == {"convex": "sector"}.get(probe, probe)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("probe", ["convex", "linear", "phased"])
def test_every_frame_says_that_it_is_synthetic(device: str, probe: Any) -> None:
    from PIL import Image, ImageDraw, ImageFont

    look = PatientLook(DEVICES[device], probe, 75, 0, 0.02, Habitus(20, 0.4, 3, -40, 3, 0.3, 1))
    clip = simulate(look, HEALTHY, seed=1, n_frames=3)
    word = Image.new("L", clip.inside.shape[::-1])
    ImageDraw.Draw(word).text((2, 1), MARK, fill=MARK_GREY, font=ImageFont.load_default_imagefont())
    letters = np.asarray(word) > 0
    assert not (letters & clip.inside).any()
    assert (clip.frames[:, letters] == MARK_GREY).all()
    assert not clip.overlay[clip.inside].any()
    assert (clip.frames[:, ~clip.inside] == clip.frames[0, ~clip.inside]).all()


def test_colour_keeps_the_pattern(convex: PatientLook) -> None:
    clip = simulate(convex, HEALTHY, seed=1, n_frames=2)
    coloured = clip.in_colour()
    assert coloured.shape == (*clip.frames.shape, 3)
    red, blue = coloured[..., 0].astype(int), coloured[..., 2].astype(int)
    assert (red[:, clip.inside] >= blue[:, clip.inside]).all()  # this machine's white is warm
    assert (red - blue).max() > 100  # its logo


@pytest.mark.parametrize("wrong", [{"n_frames": 0}, {"seed": -1}])
def test_senseless_cines_are_refused(convex: PatientLook, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="at least"):
        simulate(convex, HEALTHY, **{"seed": 1, **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"a_lines": 9},
        {"b_lines": -1},
        {"irregularity": 1.5},
        {"effusion_mm": 10.0},
        {"view": "pleural", "atelectasis": True},
    ],
)
def test_senseless_findings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Findings(**wrong)
