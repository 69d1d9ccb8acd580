"""A picture of what preprocessing does to a frame, for people to look at before they believe it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.preprocess.beam import Beam
from lusfx.preprocess.prepare import FrameTransform
from lusfx.types import GreyImage

if TYPE_CHECKING:
    from PIL.Image import Image

PANEL_PX = 360
CAPTION_PX = 26
N_PANELS = 4
SHEET_SHAPE = (PANEL_PX + CAPTION_PX, N_PANELS * PANEL_PX, 3)
"""Height, width and colours of every picture, whatever the size of the frame."""
OUTSIDE_TINT = np.array([150, 20, 30], np.float32)
BOX_COLOUR = (255, 210, 0)


def inspection_picture(frame: GreyImage, beam: Beam, transform: FrameTransform) -> Image:
    """Frame, mask, crop and encoder input side by side.

    :param frame: one frame of the clip.
    :param beam: the clip's beam.
    :param transform: made from the beam.
    """
    from PIL import Image, ImageDraw

    crop, model_input = transform.crop(frame), transform(frame)
    height, width = frame.shape
    box = beam.box
    panels = [
        (np.repeat(frame[..., None], 3, axis=2), f"frame {width} x {height}"),
        (_with_mask(frame, beam), f"beam: {beam.shape}, confidence {beam.confidence:.2f}"),
        (np.repeat(crop[..., None], 3, axis=2), f"crop {box.width} x {box.height}, padded to a square"),
        (np.repeat(model_input[..., None], 3, axis=2), f"encoder input {len(model_input)} x {len(model_input)}"),
    ]
    assert len(panels) == N_PANELS
    sheet = Image.new("RGB", (SHEET_SHAPE[1], SHEET_SHAPE[0]))
    draw = ImageDraw.Draw(sheet)
    for position, (pixels, caption) in enumerate(panels):
        panel = Image.fromarray(pixels)
        panel.thumbnail((PANEL_PX, PANEL_PX))
        scale = min(PANEL_PX / panel.width, PANEL_PX / panel.height)
        panel = panel.resize((round(panel.width * scale), round(panel.height * scale)))
        left = position * PANEL_PX + (PANEL_PX - panel.width) // 2
        sheet.paste(panel, (left, CAPTION_PX + (PANEL_PX - panel.height) // 2))
        draw.text((position * PANEL_PX + 8, 7), caption, fill=(235, 235, 235))
    return sheet


def _with_mask(frame: GreyImage, beam: Beam) -> NDArray[np.uint8]:
    """The frame, what is outside the beam tinted, the box around it drawn."""
    picture = np.repeat(frame[..., None], 3, axis=2).astype(np.float32)
    outside = ~beam.mask
    picture[outside] = 0.5 * picture[outside] + 0.5 * OUTSIDE_TINT
    result = picture.astype(np.uint8)
    box = beam.box
    thickness = max(1, max(frame.shape) // 250)
    for edge in (
        np.s_[box.y0 : box.y0 + thickness, box.x0 : box.x1],
        np.s_[box.y1 - thickness : box.y1, box.x0 : box.x1],
        np.s_[box.y0 : box.y1, box.x0 : box.x0 + thickness],
        np.s_[box.y0 : box.y1, box.x1 - thickness : box.x1],
    ):
        result[edge] = BOX_COLOUR
    return result
