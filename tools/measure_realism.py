"""Measure how far simulated pictures are from patients': Fréchet distances between middle frames, and a sheet to look at.

Features are those of ImageNet's EfficientNet-Lite0, the bundled encoder, of one middle frame a clip; the first 30 principal
components of all real ones are kept, and the distance is that of two normal distributions (Heusel et al. 2017, arXiv
1706.08500, with another network). Clips of patients and the sheet stay on this machine:

    python tools/measure_realism.py REAL/labels.csv OTHER/labels.csv --seed 11 --sheet sheet.png

Distances of few clips are too great, so compare them only with each other and at equal numbers. Use a seed that nobody tuned
to.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.config import PreprocessSpec
from lusfx.contracts import Encoder, EncoderRequest
from lusfx.engine.extraction.opening import open_encoder
from lusfx.engine.extraction.sources import discover
from lusfx.networks.clips_in_order import ClipsInOrder
from lusfx.plugins import Registry, load_registry
from lusfx.preprocess import FrameTransform, find_beam
from lusfx.site_key import SiteKey
from lusfx.synth import SITES, simulate
from lusfx.synth.archive import plan_patient

Images = NDArray[np.uint8]
ENCODER = "efficientnet-lite0"
N_COMPONENTS = 30
CLIPS = 6
"""Of a simulated patient."""
BATCH = 64
SHEET_COLUMNS, SHEET_ROWS, GAP_PX, SHEET_PX = 12, 3, 2, 112


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs="+", help="manifests or folders of real clips, each a data set")
    parser.add_argument("--site", choices=tuple(SITES), default="varied")
    parser.add_argument("--patients", type=int, default=100, help=f"simulated patients, {CLIPS} clips each")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--sheet", type=Path, help="PNG of real and simulated frames side by side")
    asked = parser.parse_args()
    registry = load_registry()
    encoder = open_encoder(EncoderRequest(ENCODER, device="cpu"), registry)
    spec = encoder.preprocess
    names = [f"real {number}" for number in range(1, len(asked.tables) + 1)]
    frames = [middle_frames(place, spec, registry) for place in asked.tables]
    frames.append(np.stack(list(simulated_frames(asked.site, asked.patients, asked.seed, spec))))
    names.append(f"simulated ({asked.site})")
    for name, images in zip(names, frames, strict=True):
        print(f"{name}: {len(images)} clips")
    for first, second, distance in distances([features(encoder, images) for images in frames]):
        print(f"{names[first]} to {names[second]}: {distance:.1f}")
    if asked.sheet is not None:
        write_sheet(asked.sheet, frames, asked.seed)


def middle_frames(place: Path, spec: PreprocessSpec, registry: Registry) -> Images:
    """The middle frame of each readable clip ``(n, size, size)``, prepared as extraction prepares it."""
    site_key = SiteKey.load()
    found = discover([place], registry, site_key, known=lambda _path: False)
    clips = ClipsInOrder(spec, registry, site_key, 3, set(), threading.Event())
    frames = []
    for clip in clips.run(found.sources):
        if clip.counted_as is None and clip.frames.n_added:
            chosen, _times = clip.frames.chosen(3)
            frames.append(chosen[len(chosen) // 2])
    if not frames:
        sys.exit("one of the data sets has no readable clip")
    return np.stack(frames)


def simulated_frames(site: str, n_patients: int, seed: int, spec: PreprocessSpec) -> Iterator[Images]:
    """A frame of each simulated clip."""
    for patient in range(1, n_patients + 1):
        for planned in plan_patient(SITES[site], patient, CLIPS, seed):
            frames = simulate(planned.look, planned.finding.findings, seed=planned.seed, n_frames=3).frames
            yield FrameTransform(find_beam(list(frames), None, spec.beam_min_confidence), spec)(frames[1])


def features(encoder: Encoder, images: Images) -> NDArray[np.float64]:
    """``(n, dim)``."""
    batches = np.array_split(images, -(-len(images) // BATCH))
    return np.concatenate([encoder.encode(batch) for batch in batches]).astype(np.float64)


def distances(sets: list[NDArray[np.float64]]) -> Iterator[tuple[int, int, float]]:
    """Of each two sets; the last is the simulated one, which has no say in what the components are."""
    real = np.concatenate(sets[:-1])
    middle = real.mean(axis=0)
    axes = np.linalg.svd(real - middle, full_matrices=False)[2][:N_COMPONENTS].T
    kept = [(rows - middle) @ axes for rows in sets]
    for first in range(len(kept)):
        for second in range(first + 1, len(kept)):
            yield first, second, frechet_distance(kept[first], kept[second])


def frechet_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Between the normal distributions of two sets of rows ``(n, dim)``: squared, as is usual."""
    from scipy.linalg import sqrtm

    shift = first.mean(axis=0) - second.mean(axis=0)
    one, other = np.cov(first.T), np.cov(second.T)
    common = np.real(sqrtm(one @ other))
    return float(shift @ shift + np.trace(one + other - 2 * common))


def write_sheet(file: Path, sets: list[Images], seed: int) -> None:
    """Rows of frames drawn at random, a block of rows for each set, one below the other."""
    from PIL import Image

    generator = np.random.default_rng(seed)
    rows = []
    for images in sets:
        wanted = min(SHEET_COLUMNS * SHEET_ROWS, len(images))
        drawn = images[np.sort(generator.choice(len(images), wanted, replace=False))]
        cells = [np.asarray(Image.fromarray(image).resize((SHEET_PX, SHEET_PX))) for image in drawn]
        cells += [np.zeros((SHEET_PX, SHEET_PX), np.uint8)] * (-len(cells) % SHEET_COLUMNS)
        framed = [np.pad(cell, ((0, GAP_PX), (0, GAP_PX)), constant_values=90) for cell in cells]
        rows += [np.hstack(framed[i : i + SHEET_COLUMNS]) for i in range(0, len(framed), SHEET_COLUMNS)]
        rows.append(np.full((4 * GAP_PX, rows[-1].shape[1]), 90, np.uint8))
    Image.fromarray(np.vstack(rows)).save(file)


if __name__ == "__main__":
    main()
