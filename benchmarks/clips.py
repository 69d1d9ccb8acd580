"""Synthetic clips to measure on: no patient's, and anybody can draw the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.config import PreprocessSpec
from lusfx.engine.extraction.sources import reader_of
from lusfx.errors import UnreadableClipError
from lusfx.plugins import Registry
from lusfx.preprocess import prepare
from lusfx.site_key import SECRET_BYTES, SiteKey
from lusfx.synth import write_archive

SEED = 0


def site_key() -> SiteKey:
    """A key that is nobody's: the patients are nobody."""
    return SiteKey(bytes(range(SECRET_BYTES)))


def draw_clips(folder: Path, n_clips: int, n_frames: int) -> list[Path]:
    """Write clips as video, a patient each; the same ones for the same numbers."""
    write_archive(folder, n_patients=n_clips, clips_per_patient=1, n_frames=n_frames, seed=SEED, clip_format="mp4")
    return sorted((folder / "clips").iterdir())


def decoded(clip: Path, registry: Registry, spec: PreprocessSpec) -> Iterator[NDArray[np.uint8]]:
    """Decode a clip and prepare its frames for an encoder, one by one: ``(size, size)`` each."""
    reader = reader_of(clip, registry)
    if reader is None:
        raise UnreadableClipError("unknown-format", "no reader claims this kind of file")
    with reader.open(clip, site_key()) as opened:
        for frame in prepare(opened, spec).frames():
            if frame.image is not None:
                yield frame.image
