"""How stored pixels are shown: turned, mirrored, and with square pixels.

Phones store a film as the sensor lay and say how to turn it. Recorders store oblong pixels and say how oblong. An encoder is
given what a person sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lusfx.types import Box, GreyImage

SQUARE_WITHIN = 0.01
"""Pixels whose sides differ by less are square: a header rounds its millimetres."""
MOST_OBLONG = 4.0
"""No device stores pixels that are longer than this times their width; a file that says so is wrong."""


@dataclass(frozen=True, slots=True)
class Display:
    """What is done to each stored frame, in this order: stretch, turn, mirror.

    :param pixel_aspect: width of a stored pixel divided by its height.
    :param quarter_turns: by 90 degrees, against the clock.
    :param mirrored: whether left and right change places at the end.
    """

    pixel_aspect: float = 1.0
    quarter_turns: int = 0
    mirrored: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether frames are shown as they are stored."""
        return not (self.is_oblong or self.quarter_turns % 4 or self.mirrored)

    @property
    def is_oblong(self) -> bool:
        """Whether pixels are to be made square; never where what is stated cannot be."""
        aspect = self.pixel_aspect
        if not (math.isfinite(aspect) and 1 / MOST_OBLONG <= aspect <= MOST_OBLONG):
            return False
        return abs(math.log(aspect)) > math.log1p(SQUARE_WITHIN)

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a frame as it is shown."""
        height, width = self._stretched(height, width)
        return (width, height) if self.quarter_turns % 2 else (height, width)

    def frame(self, pixels: GreyImage) -> GreyImage:
        """A stored frame as it is shown."""
        if self.is_plain:
            return pixels
        if self.is_oblong:
            pixels = _resized(pixels, *self._stretched(*pixels.shape))
        pixels = np.rot90(pixels, self.quarter_turns)
        return np.ascontiguousarray(pixels[:, ::-1] if self.mirrored else pixels)

    def box(self, box: Box, height: int, width: int) -> Box:
        """Where a box of a stored frame lies in the frame as it is shown.

        :param height: of the stored frame, as its ``width``.
        """
        new_height, new_width = self._stretched(height, width)
        across, down = new_width / width, new_height / height
        x0, x1 = round(box.x0 * across), round(box.x1 * across)
        y0, y1 = round(box.y0 * down), round(box.y1 * down)
        for _ in range(self.quarter_turns % 4):
            x0, y0, x1, y1 = y0, new_width - x1, y1, new_width - x0
            new_height, new_width = new_width, new_height
        if self.mirrored:
            x0, x1 = new_width - x1, new_width - x0
        return Box(x0, y0, x1, y1)

    def _stretched(self, height: int, width: int) -> tuple[int, int]:
        """The size with square pixels: the longer side of a pixel is kept, so that nothing is lost."""
        if not self.is_oblong:
            return height, width
        if self.pixel_aspect > 1:
            return height, round(width * self.pixel_aspect)
        return round(height / self.pixel_aspect), width


def _resized(pixels: GreyImage, height: int, width: int) -> GreyImage:
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
