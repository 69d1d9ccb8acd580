"""What the product is compared with: a frame is decoded, resized and encoded, one after the other, in one thread.

It is what a script for a paper does, with the libraries that such scripts take: PyAV, Pillow, torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.inference.network import Compute

PLAIN, EAGER = "plain loop", "eager torch in batches"
RIVALS = {
    PLAIN: "a frame decoded with PyAV, resized with Pillow, encoded with eager torch, one at a time",
    EAGER: "the same with batches of {batch_size} frames of one clip",
}


def frames_of(clip: Path, size: int) -> Iterator[NDArray[np.uint8]]:
    """Every frame of a video, grey, resized: ``(size, size)``. No beam is looked for."""
    from PIL import Image

    for pixels in decoded_frames(clip):
        yield np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def decoded_frames(clip: Path) -> Iterator[NDArray[np.uint8]]:
    """Every frame of a video, grey: ``(height, width)``."""
    import av

    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="gray")


def plain_loop(clips: Sequence[Path], size: int, batch_size: int, compute: Compute) -> int:
    """Encode every frame; returns how many there were."""
    n_frames = 0
    for clip in clips:
        frames = frames_of(clip, size)
        while images := list(islice(frames, batch_size)):
            n_frames += len(compute(np.stack(images)))
    return n_frames
