"""Beams on screens: banners, panels, traces, second images, and pages that have none."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.preprocess import Beam, BeamShape, find_beam
from lusfx.synth import SITES, simulate
from lusfx.synth.archive import plan_patient
from lusfx.synth.screens import SCREENS, Cine, draw_screen
from lusfx.types import Box

PAGES = ("white-page", "dark-page", "uniform", "noise", "bars", "panels-only", "strip-only")
IMAGES = tuple(kind for kind in SCREENS if kind not in (*PAGES, "tilted"))
SEED = 11


@cache
def cines() -> tuple[Cine, Cine]:
    """Two convex images of one machine each, 12 frames."""
    found = []
    for patient in (0, 1):
        planned = next(plan_patient(SITES["local"], patient, 1, SEED))
        clip = simulate(planned.look, planned.finding.findings, seed=planned.seed, n_frames=12)
        frames = np.where(clip.inside, clip.frames, 0).astype(np.uint8)
        double = np.ones((1, 2, 2), np.uint8)
        found.append(Cine(np.kron(frames, double), np.kron(clip.inside, double[0]).astype(np.bool_)))
    return found[0], found[1]


def overlap(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def beam_on(kind: str, seed: int, quality: int | None = None) -> tuple[Beam, tuple[NDArray[np.bool_], ...]]:
    from PIL import Image

    screen = draw_screen(kind, *cines(), np.random.default_rng([SEED, seed]))
    frames = list(screen.frames)
    if quality is not None:
        for number, frame in enumerate(frames):
            stream = io.BytesIO()
            Image.fromarray(frame).save(stream, "JPEG", quality=quality)
            frames[number] = np.asarray(Image.open(stream))
    return find_beam(frames, None, 0.5), screen.beams


@pytest.mark.parametrize("kind", IMAGES)
def test_the_image_on_a_screen_is_found_and_trusted(kind: str) -> None:
    beam, truths = beam_on(kind, 0)
    assert max(overlap(beam.mask, truth) for truth in truths) > 0.85
    assert beam.confidence > 0.5
    assert beam.shape is not BeamShape.UNKNOWN


@pytest.mark.parametrize("seed", range(3))
def test_an_image_that_leans_is_held(seed: int) -> None:
    beam, (truth,) = beam_on("tilted", seed)
    assert beam.mask[truth].mean() > 0.95
    assert beam.confidence > 0.5


@pytest.mark.parametrize("degrees", [-25, -10, 10, 25])
def test_a_whole_sector_that_leans_is_found(degrees: int) -> None:
    y, x = np.mgrid[:300, :400].astype(np.float64)
    radius, angle = np.hypot(y + 50, x - 200), np.degrees(np.arctan2(x - 200, y + 50))
    truth = (radius > 85) & (radius < 320) & (np.abs(angle - degrees) < 28)
    speckle = np.random.default_rng(SEED).rayleigh(30, (8, 300, 400)) + 60 * np.exp(-radius / 150)
    beam = find_beam(list(np.where(truth, np.clip(speckle, 10, 255), 0).astype(np.uint8)), None, 0.5)
    assert overlap(beam.mask, truth) > 0.95


@pytest.mark.parametrize("kind", ["cart", "panels", "white-viewer", "thumbnails", "title"])
def test_compression_does_not_hide_an_even_ground(kind: str) -> None:
    beam, (truth,) = beam_on(kind, 0, quality=80)
    assert overlap(beam.mask, truth) > 0.85


@pytest.mark.parametrize("kind", PAGES)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_no_image_is_not_trusted(kind: str, seed: int) -> None:
    beam, truths = beam_on(kind, seed)
    assert not truths
    assert beam.confidence < 0.5
    assert beam.shape is BeamShape.UNKNOWN


@pytest.mark.parametrize(("kind", "several"), [("side-by-side", True), ("plain", False), ("cart", False)])
def test_a_second_image_is_told(kind: str, several: bool) -> None:
    assert beam_on(kind, 0)[0].several is several


def test_a_region_that_cuts_through_the_image_is_not_kept_to() -> None:
    cine = cines()[0]
    height, width = cine.inside.shape
    quarter = Box(0, 0, width // 2, height // 2)
    beam = find_beam(list(cine.frames), quarter, 0.5)
    assert beam.region_ignored
    assert overlap(beam.mask, cine.inside) > 0.85


def test_a_region_that_holds_the_image_is_kept_to() -> None:
    cine = cines()[0]
    rows, columns = np.nonzero(cine.inside)
    region = Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    beam = find_beam(list(cine.frames), region, 0.5)
    assert not beam.region_ignored
    assert overlap(beam.mask, cine.inside) > 0.85


def test_a_region_beside_another_image_is_kept_to() -> None:
    """Two declared images that touch: the other one is no reason to leave the region."""
    cine = cines()[0]
    frames = np.concatenate([cine.frames, cine.frames[:, :, ::-1]], axis=2)
    width = cine.inside.shape[1]
    beam = find_beam(list(frames), Box(0, 0, width, cine.inside.shape[0]), 0.5)
    assert not beam.mask[:, width:].any()
