"""What the product is compared with: a frame is decoded, resized and encoded, one after the other, in one thread.

It is what a script for a paper does, with the libraries that such scripts take: PyAV, Pillow, torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.inference.network import Compute
from benchmarks.pyav_frames import resized_by_pillow

PLAIN, EAGER = "plain loop", "eager torch in batches"
RIVALS = {
    PLAIN: "a frame decoded with PyAV, resized with Pillow, encoded with eager torch, one at a time",
    EAGER: "the same with batches of {batch_size} frames of one clip",
}


def plain_loop(clips: Sequence[Path], size: int, batch_size: int, compute: Compute) -> int:
    """Encode every frame; returns how many there were."""
    n_frames = 0
    for clip in clips:
        frames = resized_by_pillow(clip, size)
        while images := list(islice(frames, batch_size)):
            n_frames += len(compute(np.stack(images)))
    return n_frames
