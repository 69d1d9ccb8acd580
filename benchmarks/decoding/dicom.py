"""Grey frames of DICOM files: by the product's reader, and as pydicom gives frames to whoever asks for nothing special."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import SEED, site_key
from benchmarks.timing import Rounds, Spread, take_turns
from lusfx.readers.dicom import DicomReader
from lusfx.synth import SITES, SyntheticClip, simulate
from lusfx.synth.archive import plan_patient
from lusfx.synth.dicom_file import JPEG, JPEG_LS, RLE, Names, write_dicom

RIVAL = "pydicom's `iter_pixels` with its own choice of codecs, then luma by numpy"
SYNTAXES: Mapping[str, str] = {"JPEG Baseline": JPEG, "RLE": RLE, "JPEG-LS": JPEG_LS}
TINTS: Mapping[str, tuple[int, int, int] | None] = {"grey": None, "in colour": (255, 255, 255)}
"""In colour: grey tissue with coloured marks beside the beam, as most machines write it."""
SAME_WITHIN = 2
"""Grey levels: pydicom goes from luma to RGB and back."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
Grey = NDArray[np.uint8]


class UnequalFramesError(Exception):
    """The two ways gave frames that differ by more than rounding."""


def compare(n_frames: int, rounds: Rounds, folder: Path, told: Callable[[str], None]) -> list[dict[str, Any]]:
    """Time both ways for every transfer syntax, grey and in colour.

    :param folder: where the files may be written.
    """
    clip = draw(n_frames)
    found = []
    for name, syntax in SYNTAXES.items():
        for look, tint in TINTS.items():
            told(f"DICOM, {name}, {look}")
            path = folder / f"{syntax}-{look}.dcm"
            painted = replace(clip, look=replace(clip.look, device=replace(clip.look.device, tint=tint)))
            write_dicom(path, painted, Names("benchmark", "nobody", "exam", "clip", 1, 1), syntax)
            found.append({"syntax": name, "look": look} | _facts(path, rounds))
    return found


def draw(n_frames: int) -> SyntheticClip:
    """A clip; the same one for the same number."""
    planned = next(plan_patient(SITES["local"], 0, 1, SEED))
    return simulate(planned.look, planned.finding.findings, seed=planned.seed, n_frames=n_frames)


def by_lusfx(path: Path) -> list[Grey]:
    """Grey frames by the product's reader."""
    with DicomReader().open(path, site_key()) as clip:
        return [frame.pixels for frame in clip.frames() if frame.pixels is not None]


def by_pydicom(path: Path) -> list[Grey]:
    """Grey frames by the rival."""
    from pydicom.pixels import iter_pixels

    frames = []
    for pixels in iter_pixels(path):
        frames.append(pixels if pixels.ndim == 2 else (pixels @ LUMA + np.float32(0.5)).astype(np.uint8))
    return frames


def _facts(path: Path, rounds: Rounds) -> dict[str, Any]:
    ours, theirs = by_lusfx(path), by_pydicom(path)
    difference = max(int(np.abs(one.astype(int) - other).max()) for one, other in zip(ours, theirs, strict=True))
    if difference > SAME_WITHIN:
        raise UnequalFramesError(f"the frames are {difference} grey levels apart")
    times = take_turns({"lusfx": lambda: by_lusfx(path), "pydicom": lambda: by_pydicom(path)}, rounds)
    ratios = [theirs / ours for ours, theirs in zip(times["lusfx"], times["pydicom"], strict=True)]
    return {
        "height": ours[0].shape[0],
        "width": ours[0].shape[1],
        "n_frames": len(ours),
        "largest_difference_grey_levels": difference,
        "s_a_frame": {name: Spread.of([t / len(ours) for t in each]).as_dict() for name, each in times.items()},
        "times_as_fast": Spread.of(ratios).as_dict(),
    }
