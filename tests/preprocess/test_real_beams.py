"""Beams of all real clips: found, trusted, and no tissue outside."""

from __future__ import annotations

import csv
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from lusfx.preprocess import Beam, BeamShape, find_beam
from lusfx.readers.image import ImageReader
from lusfx.readers.video import VideoReader
from lusfx.site_key import SiteKey
from lusfx.types import GreyImage

pytestmark = pytest.mark.slow


def beams_of(folder: Path, step: int = 1) -> list[tuple[str, Beam, list[GreyImage]]]:
    """The probe that the table names (one device with a convex probe where it names none), beam and frames of each clip."""
    found = []
    with (folder / "labels.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    for row in rows[::step]:
        path = folder / row["path"]
        reader = VideoReader() if path.suffix.lower() in VideoReader.suffixes else ImageReader()
        with reader.open(path, SiteKey(bytes(32))) as clip:
            frames = [frame.pixels for frame in islice(clip.frames(), 32) if frame.pixels is not None]
        found.append((row.get("probe", "convex"), find_beam(frames, None, 0.5), frames[::8]))
    return found


def tissue_outside(beam: Beam, frames: list[GreyImage]) -> float:
    """Share of what is plainly bright, and no thin stroke, that the mask cuts off."""
    bright = ndimage.binary_opening(np.max(frames, axis=0) > 40, iterations=max(2, max(beam.mask.shape) // 100))
    return float((bright & ~beam.mask).sum() / max(bright.sum(), 1))


@pytest.mark.real_data
@pytest.mark.parametrize(("folder", "step"), [("covid-blues", 4), ("pocus", 1)])
def test_beams_of_real_clips_are_trusted_and_hold_the_tissue(shared_data: Path, folder: str, step: int) -> None:
    found = beams_of(shared_data / folder, step)
    confident = [beam.confidence >= 0.5 for _, beam, _ in found]
    outside = [tissue_outside(beam, frames) for _, beam, frames in found]
    shares = [beam.mask.mean() for _, beam, _ in found]
    assert np.mean(confident) > 0.97
    assert max(outside) < 0.05
    assert np.mean(np.array(outside) < 0.01) > 0.95
    assert min(shares) > 0.35


@pytest.mark.real_data
def test_the_probe_is_told_from_the_beam(shared_data: Path) -> None:
    """Convex probes show sectors, linear ones rectangles; a crop inside the sector has no sides to tell it by."""
    found = beams_of(shared_data / "pocus")
    curved = (BeamShape.SECTOR, BeamShape.PHASED)
    told = [(beam.shape in curved) == (probe == "convex") for probe, beam, _ in found]
    assert np.mean(told) > 0.95
