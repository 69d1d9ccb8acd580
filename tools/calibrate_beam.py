"""Fit the weights of the beam's confidence to drawn screens, and print how reliable it is.

    python tools/calibrate_beam.py [--real FOLDER]

Screens of some seeds are fitted to; the reliability is that of other seeds. Of real clips (``--real``: a folder whose
subfolders hold ``labels.csv`` and clips) nobody drew the beam: printed is how sure the search is of them.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lusfx.engine.extraction.sources import reader_of
from lusfx.plugins import load_registry
from lusfx.preprocess.beam import find_beam
from lusfx.preprocess.beam.evidence import BRIGHT, shrink
from lusfx.preprocess.beam.search import read_scenes
from lusfx.preprocess.beam.trust import BIAS, WEIGHTS, Signs, probability, read_signs
from lusfx.site_key import SiteKey
from lusfx.synth import SITES, simulate
from lusfx.synth.archive import plan_patient
from lusfx.synth.screens import SCREENS, Cine, draw_screen
from lusfx.types import Box, GreyImage

N_FRAMES = 12
FITTED_SEEDS, JUDGED_SEEDS = (1, 2), (3,)
N_CINES = 32
"""Of each seed; each is drawn on every screen."""
SITES_DRAWN = ("varied-clear", "varied-clear", "local", "external")
OVERLAP = 0.85
"""A beam with this intersection over union with the drawn one is right."""
MOST_CUT, MOST_FOREIGN = 0.05, 0.02
"""As is one that cuts off no more of the tissue, and holds no more that is lit and none: black corners do no harm."""
EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)


class Judged(NamedTuple):
    """A screen on which a beam was found."""

    screen: str
    signs: Signs
    right: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--real", type=Path, help="a folder whose subfolders hold labels.csv and clips")
    options = parser.parse_args()
    fitted, _ = judge_screens(FITTED_SEEDS)
    weights, bias = fit(fitted)
    print(f"WEIGHTS = {weights}\nBIAS = {bias}")
    print("as in the package\n" if (weights, bias) == (WEIGHTS, BIAS) else "other than in the package\n")
    judged, n_not_found = judge_screens(JUDGED_SEEDS)
    confidence = np.array([probability(entry.signs, weights, bias) for entry in judged])
    print_reliability(judged, confidence)
    print_screens(judged, confidence, n_not_found)
    if options.real:
        print_real(options.real)


def draw_cines(seed: int) -> list[Cine]:
    """Simulated lungs of many machines, black outside the beam, at several sizes."""
    from PIL import Image

    generator = np.random.default_rng(seed)
    found = []
    for patient in range(N_CINES):
        planned = next(plan_patient(SITES[SITES_DRAWN[patient % len(SITES_DRAWN)]], patient, 1, seed))
        clip = simulate(planned.look, planned.finding.findings, seed=planned.seed, n_frames=N_FRAMES)
        height, width = clip.inside.shape
        scale = generator.uniform(1, 2.4)
        size = (int(width * scale), int(height * scale))
        frames = [Image.fromarray(np.where(clip.inside, frame, 0).astype(np.uint8)) for frame in clip.frames]
        inside = Image.fromarray(clip.inside.astype(np.uint8) * 255)
        bilinear = Image.Resampling.BILINEAR
        large = np.stack([np.asarray(frame.resize(size, bilinear)) for frame in frames])
        found.append(Cine(large, np.asarray(inside.resize(size, bilinear)) > 127))
    return found


def judge_screens(seeds: Sequence[int]) -> tuple[list[Judged], dict[str, int]]:
    """Every cine on every screen; and on how many screens of each kind nothing was found."""
    judged, n_not_found = [], defaultdict[str, int](int)
    for seed in seeds:
        cines = draw_cines(seed)
        for number, cine in enumerate(cines):
            for place, kind in enumerate(SCREENS):
                generator = np.random.default_rng([seed, number, place])
                screen = draw_screen(kind, cine, cines[(number + 1) % len(cines)], generator)
                frames = compress(screen.frames, generator)
                shrunk = shrink(frames, Box(0, 0, frames[0].shape[1], frames[0].shape[0]))
                readings = read_scenes(shrunk)
                if not readings:
                    n_not_found[kind] += 1
                    continue
                found = reduce(np.logical_or, (reading.fit.fitted for reading in readings))
                longest = max(readings, key=lambda reading: reading.evidence.n_frames)
                signs = read_signs(longest.evidence, longest.fit.fitted)
                judged.append(
                    Judged(kind, signs, is_right(found, [shrink_mask(beam) for beam in screen.beams], shrunk))
                )
    return judged, n_not_found


def shrink_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    height, width = mask.shape
    return shrink([mask.astype(np.uint8) * 255], Box(0, 0, width, height))[0] > 127


def compress(frames: NDArray[np.uint8], generator: np.random.Generator) -> list[GreyImage]:
    """Half of the screens as JPEGs, whose ground is not quite even."""
    from PIL import Image

    if generator.random() < 0.5:
        return list(frames)
    quality = int(generator.integers(60, 95))
    found = []
    for frame in frames:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, "JPEG", quality=quality)
        found.append(np.asarray(Image.open(stream)))
    return found


def is_right(found: NDArray[np.bool_], beams: Sequence[NDArray[np.bool_]], shrunk: Sequence[GreyImage]) -> bool:
    """Whether the beam is one of those that were drawn, or holds its tissue and nothing else that is lit."""
    lit = np.maximum.reduce(shrunk[-4:]) > BRIGHT  # title pages come first
    for beam in beams:
        if (found & beam).sum() >= OVERLAP * (found | beam).sum():
            return True
        cut, foreign = (lit & beam & ~found).sum(), (lit & found & ~beam).sum()
        if cut < MOST_CUT * (lit & beam).sum() and foreign < MOST_FOREIGN * (lit & found).sum():
            return True
    return False


def fit(judged: Sequence[Judged]) -> tuple[Signs, float]:
    """Weights of the signs as they are, rounded."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    values = scaler.fit_transform(np.array([entry.signs for entry in judged]))
    model = LogisticRegression().fit(values, [entry.right for entry in judged])
    weights = model.coef_[0] / scaler.scale_
    bias = round(float(model.intercept_[0] - (weights * scaler.mean_).sum()), 3)
    return Signs(*(round(float(weight), 3) for weight in weights)), bias


def print_reliability(judged: Sequence[Judged], confidence: NDArray[np.float64]) -> None:
    right = np.array([entry.right for entry in judged])
    print(f"screens that were not fitted to: {len(judged)} with a beam found\n")
    print("| confidence | screens | mean confidence | right |\n|---|---|---|---|")
    for low, high in pairwise(EDGES):
        within = (confidence >= low) & ((confidence < high) | (high == 1.0))
        if within.any():
            print(
                f"| {low} to {high} | {within.sum()} | {confidence[within].mean():.2f} | {right[within].mean():.2f} |"
            )
    print(
        f"\nBrier score {np.mean((confidence - right) ** 2):.3f}; always the mean: {right.mean() * (1 - right.mean()):.3f}\n"
    )


def print_screens(judged: Sequence[Judged], confidence: NDArray[np.float64], n_not_found: dict[str, int]) -> None:
    print("| screen | found | right | trusted, but wrong | right, but not trusted |\n|---|---|---|---|---|")
    right = np.array([entry.right for entry in judged])
    for kind in SCREENS:
        of_kind = np.array([entry.screen == kind for entry in judged])
        n_found, n_right = of_kind.sum(), (of_kind & right).sum()
        false, lost = (of_kind & ~right & (confidence >= 0.5)).sum(), (of_kind & right & (confidence < 0.5)).sum()
        print(f"| {kind} | {n_found} of {n_found + n_not_found[kind]} | {n_right} | {false} | {lost} |")


def print_real(folder: Path) -> None:
    for table in sorted(folder.glob("*/labels.csv")):
        confidence = np.array(list(real_confidences(table)))
        levels = ", ".join(f"{value:.2f}" for value in np.percentile(confidence, (0, 1, 5, 50)))
        below = (confidence < 0.5).sum()
        print(f"\n{table.parent.name}: {len(confidence)} clips; lowest, 1%, 5%, median: {levels}; below 0.5: {below}")


def real_confidences(table: Path) -> Iterator[float]:
    registry = load_registry()
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        path = table.parent / row["path"]
        reader = reader_of(path, registry)
        if reader is None:
            continue
        with reader.open(path, SiteKey(bytes(32))) as clip:
            frames = [frame.pixels for frame in clip.frames() if frame.pixels is not None]
        yield find_beam(frames, None, 0.0).confidence


if __name__ == "__main__":
    main()
