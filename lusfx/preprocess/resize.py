"""Resizing grey images with Pillow's filters, four at a time.

Pillow computes the four bands of a pixel together, in two thirds of the time that four images take one by one, and each
band gets the value that it would get alone. So four images become the bands of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.types import Box, GreyImage

if TYPE_CHECKING:
    from PIL.Image import Image, Resampling

TOGETHER = 4
LARGE_PX = 1 << 22
"""Twice 1920 x 1080. Four larger images, and once more as bands of one, would be a clip's most memory."""
FOUR_BANDS = "CMYK"
"""Of Pillow's modes with four bands, the one whose bands are resized as they are: others weigh colours by their alpha."""


def resized(
    images: Iterable[GreyImage], size: tuple[int, int], resample: Resampling, box: Box | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Resize images of one size, antialiased when shrinking.

    :param images: each ``(height, width)``; taken four at a time, or one where they are large.
    :param size: width and height of what comes out, as Pillow has it.
    :param box: the part of the images to take; None for all.
    :returns: for each image ``(size[1], size[0])``.
    """
    corners = None if box is None else (box.x0, box.y0, box.x1, box.y1)
    held: list[Image] = []
    for pixels in images:
        held.append(_held(pixels))
        if len(held) == group_size(pixels.size):
            yield from _resized_together(held, size, resample, corners)
            held.clear()
    for image in held:
        yield np.asarray(image.resize(size, resample, box=corners))


def group_size(n_px: int) -> int:
    """How many images of so many pixels are resized together: of large ones one, since memory counts for more there."""
    return 1 if n_px > LARGE_PX else TOGETHER


def _resized_together(
    images: Sequence[Image], size: tuple[int, int], resample: Resampling, corners: tuple[int, int, int, int] | None
) -> Iterator[NDArray[np.uint8]]:
    from PIL import Image

    merged = images[0] if len(images) == 1 else Image.merge(FOUR_BANDS, images)
    for band in merged.resize(size, resample, box=corners).split():
        yield np.asarray(band)


def _held(pixels: GreyImage) -> Image:
    """Pixels as Pillow's image, without a copy where they lie together."""
    from PIL import Image

    height, width = pixels.shape
    return Image.frombuffer("L", (width, height), np.ascontiguousarray(pixels), "raw", "L", 0, 1)
