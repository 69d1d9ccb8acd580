"""Frames of a video as a script for a paper gets them, with PyAV and Pillow: what the readers here are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def decoded_by_pyav(clip: Path) -> Iterator[NDArray[np.uint8]]:
    """Every frame, grey: ``(height, width)``."""
    import av

    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="gray")


def resized_by_pillow(clip: Path, size_px: int) -> Iterator[NDArray[np.uint8]]:
    """Every frame, grey and whole: ``(size_px, size_px)``. No beam is looked for."""
    from PIL import Image

    for pixels in decoded_by_pyav(clip):
        yield np.asarray(Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BILINEAR))
