"""Resizing grey images with Pillow's filters, four at a time.

Pillow computes the four bands of a pixel together, in two thirds of the time that four images take one by one, and each
band gets the value that it would get alone. So four images become the bands of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.types import Box, GreyImage

if TYPE_CHECKING:
    from PIL.Image import Image, Resampling

TOGETHER = 4
FOUR_BANDS = "CMYK"
"""Of Pillow's modes with four bands, the one whose bands are resized as they are: others weigh colours by their alpha."""


def resized(
    images: Sequence[GreyImage], size: tuple[int, int], resample: Resampling, box: Box | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Resize images of one size, antialiased when shrinking.

    :param images: each ``(height, width)``.
    :param size: width and height of what comes out, as Pillow has it.
    :param box: the part of the images to take; None for all.
    :returns: for each image ``(size[1], size[0])``.
    """
    from PIL import Image

    corners = None if box is None else (box.x0, box.y0, box.x1, box.y1)
    held = [_held(image) for image in images]
    whole = len(held) - len(held) % TOGETHER
    for start in range(0, whole, TOGETHER):
        merged = Image.merge(FOUR_BANDS, held[start : start + TOGETHER])
        for band in merged.resize(size, resample, box=corners).split():
            yield np.asarray(band)
    for image in held[whole:]:
        yield np.asarray(image.resize(size, resample, box=corners))


def _held(pixels: GreyImage) -> Image:
    """Pixels as Pillow's image, without a copy where they lie together."""
    from PIL import Image

    height, width = pixels.shape
    return Image.frombuffer("L", (width, height), np.ascontiguousarray(pixels), "raw", "L", 0, 1)
