"""Grey frames of DICOM files: by the product's reader, and as pydicom gives frames to whoever asks for nothing special."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import SEED, site_key
from benchmarks.timing import Rounds, Spread, Way, take_turns
from lusfx.readers.dicom import DicomReader
from lusfx.synth import SITES, SyntheticClip, simulate
from lusfx.synth.archive import plan_patient
from lusfx.synth.dicom_file import JPEG, JPEG_LS, RLE, Names, write_dicom

RIVAL = "pydicom's `iter_pixels` with its own choice among the codecs that lusfx installs, then luma by numpy"
ALONE = "pydicom alone"
"""Without these codecs. Of the transfer syntaxes here it then decodes run lengths only."""
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
            found.append({"syntax": name, "look": look} | _facts(path, syntax, rounds))
    return found


def draw(n_frames: int) -> SyntheticClip:
    """A clip; the same one for the same number."""
    planned = next(plan_patient(SITES["local"], 0, 1, SEED))
    return simulate(planned.look, planned.finding.findings, seed=planned.seed, n_frames=n_frames)


def by_lusfx(path: Path) -> list[Grey]:
    """Grey frames by the product's reader."""
    with DicomReader().open(path, site_key()) as clip:
        return [frame.pixels for frame in clip.frames() if frame.pixels is not None]


def by_pydicom(path: Path, codec: str = "", n_frames: int | None = None) -> list[Grey]:
    """Grey frames by the rival.

    :param codec: pydicom's name of one; empty for the one that it chooses.
    :param n_frames: the first of them; None for all.
    """
    from pydicom.pixels import iter_pixels

    frames = []
    for pixels in islice(iter_pixels(path, decoding_plugin=codec), n_frames):
        frames.append(pixels if pixels.ndim == 2 else (pixels @ LUMA + np.float32(0.5)).astype(np.uint8))
    return frames


def _facts(path: Path, syntax: str, rounds: Rounds) -> dict[str, Any]:
    ours, theirs = by_lusfx(path), by_pydicom(path)
    difference = max(int(np.abs(one.astype(int) - other).max()) for one, other in zip(ours, theirs, strict=True))
    if difference > SAME_WITHIN:
        raise UnequalFramesError(f"the frames are {difference} grey levels apart")
    ways: dict[str, Way] = {"lusfx": lambda: by_lusfx(path), "pydicom": lambda: by_pydicom(path)}
    n_frames = dict.fromkeys(ways, len(ours))
    if syntax == RLE:  # it takes so long that one frame will do
        ways[ALONE], n_frames[ALONE] = lambda: by_pydicom(path, "pydicom", 1), 1
    times = {name: [seconds / n_frames[name] for seconds in each] for name, each in take_turns(ways, rounds).items()}
    faster = {
        name: Spread.of([theirs / ours for ours, theirs in zip(times["lusfx"], each, strict=True)]).as_dict()
        for name, each in times.items()
        if name != "lusfx"
    }
    return {
        "height": ours[0].shape[0],
        "width": ours[0].shape[1],
        "n_frames": len(ours),
        "largest_difference_grey_levels": difference,
        "s_a_frame": {name: Spread.of(each).as_dict() for name, each in times.items()},
        "times_as_fast": faster,
    }
