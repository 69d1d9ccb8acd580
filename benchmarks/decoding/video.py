"""Frames of a video: decoded, and prepared for an encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import draw_clips, site_key
from benchmarks.pyav_frames import decoded_by_pyav, resized_by_pillow
from benchmarks.timing import Rounds, Spread, take_turns
from lusfx.config import PreprocessSpec
from lusfx.contracts import EncoderRequest
from lusfx.encoders import BUNDLED, DEFAULT_ENCODER, open_directory
from lusfx.engine.extraction.extract import BATCH_SIZE
from lusfx.preprocess import find_beam, prepare
from lusfx.readers.video import VideoReader

RIVAL = "PyAV's `frame.to_ndarray` for each frame, and Pillow's `resize` for each"
Grey = NDArray[np.uint8]


def compare(n_frames: int, rounds: Rounds, folder: Path) -> dict[str, Any]:
    """Time decoding alone and with preparing, both ways, and finding the beam.

    Preparing is for the default encoder, and so is encoding, by which the beam's share is of a clip's whole time.

    :param folder: where the video may be written.
    """
    (path,) = draw_clips(folder / "video", 1, n_frames)
    frames = decoded(path)
    encoder = open_directory(BUNDLED / DEFAULT_ENCODER, EncoderRequest(DEFAULT_ENCODER, device="cpu", threads=1))
    spec = encoder.preprocess
    images = np.stack(prepared(path, spec))
    batches = [images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE)]
    times = take_turns(
        {
            "decoded": lambda: decoded(path),
            "decoded by the rival": lambda: list(decoded_by_pyav(path)),
            "prepared": lambda: prepared(path, spec),
            "prepared by the rival": lambda: list(resized_by_pillow(path, spec.size)),
            "beam": lambda: find_beam(frames, None, spec.beam_min_confidence),
            "encoded": lambda: [encoder.encode(batch) for batch in batches],
        },
        rounds,
    )
    faster = {
        part: Spread.of([b / a for a, b in zip(times[part], times[f"{part} by the rival"], strict=True)]).as_dict()
        for part in ("decoded", "prepared")
    }
    rounds_s = list(zip(times["beam"], times["prepared"], times["encoded"], strict=True))
    a_frame = {name: [t / len(frames) for t in each] for name, each in times.items() if name != "beam"}
    return {
        "height": frames[0].shape[0],
        "width": frames[0].shape[1],
        "n_frames": len(frames),
        "size_px": spec.size,
        "s_a_frame": {name: Spread.of(each).as_dict() for name, each in a_frame.items()},
        "times_as_fast": faster,
        "beam_s": Spread.of(times["beam"]).as_dict(),
        "beam_share": Spread.of([beam / (before + encoded) for beam, before, encoded in rounds_s]).as_dict(),
        "beam_share_before_encoding": Spread.of([beam / before for beam, before, _ in rounds_s]).as_dict(),
        "encoder": DEFAULT_ENCODER,
    }


def decoded(path: Path) -> list[Grey]:
    """Grey frames by the product's reader."""
    with VideoReader().open(path, site_key()) as clip:
        return [frame.pixels for frame in clip.frames() if frame.pixels is not None]


def prepared(path: Path, spec: PreprocessSpec) -> list[Grey]:
    """The same, with the beam found, cut out and resized."""
    with VideoReader().open(path, site_key()) as clip:
        return [frame.image for frame in prepare(clip, spec).frames() if frame.image is not None]
