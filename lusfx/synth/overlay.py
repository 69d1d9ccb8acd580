"""Everything in a picture that is no echo: the word *synthetic*, text, depth scale, grey bar, logo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.synth.device import Device
from lusfx.synth.geometry import ScanMap

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

MARK = "SYNTHETIC"
MARK_GREY = 190
TEXT_GREY = 150
LOGO_PX = 9


def draw_overlay(device: Device, scan: ScanMap, depth_mm: float) -> NDArray[np.uint8]:
    """A machine's overlay ``(height, width, 3)``, black where nothing is drawn and wherever the beam is."""
    from PIL import Image, ImageDraw, ImageFont

    placement, decoration = device.placement, device.decoration
    picture = Image.new("RGB", (placement.width, placement.height))
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default_imagefont()  # the same pixels with and without FreeType
    pen.text((2, 1), MARK, fill=(MARK_GREY,) * 3, font=font)
    for column, row, words in decoration.texts:
        pen.text((column, row % placement.height), words, fill=(TEXT_GREY,) * 3, font=font)
    if decoration.ticks_x is not None:
        _depth_scale(pen, decoration.ticks_x, scan, depth_mm)
    if decoration.bar is not None:
        _grey_bar(pen, decoration.bar, device.tint)
    if decoration.logo is not None:
        _logo(pen, decoration.logo, placement.width, placement.height, decoration.colour)
    if decoration.marker:
        _orientation_mark(pen, scan, decoration.colour)
    overlay = np.array(picture)
    overlay[scan.inside] = 0
    return overlay


def _depth_scale(pen: ImageDraw, column: int, scan: ScanMap, depth_mm: float) -> None:
    for centimetre in range(int(depth_mm // 10) + 1):
        row = round(scan.face_px[1] + 10 * centimetre * scan.px_per_mm)
        length = 5 if centimetre % 5 == 0 else 2
        pen.line([(column, row), (column + length, row)], fill=(TEXT_GREY,) * 3)


def _grey_bar(pen: ImageDraw, bar: tuple[int, int, int, int], tint: tuple[int, int, int] | None) -> None:
    left, top, width, height = bar
    red, green, blue = tint or (255, 255, 255)
    for row in range(height):
        grey = 255 - 255 * row // height
        colour = (grey * red // 255, grey * green // 255, grey * blue // 255)
        pen.line([(left, top + row), (left + width - 1, top + row)], fill=colour)


def _logo(pen: ImageDraw, corner: str, width: int, height: int, colour: tuple[int, int, int]) -> None:
    """A ring about a disc: no maker's sign."""
    left = 3 if corner.endswith("left") else width - LOGO_PX - 4
    top = 2 if corner.startswith("top") else height - LOGO_PX - 4
    pen.ellipse([left, top, left + LOGO_PX, top + LOGO_PX], outline=colour, width=2)
    pen.ellipse([left + 3, top + 3, left + LOGO_PX - 3, top + LOGO_PX - 3], fill=colour)


def _orientation_mark(pen: ImageDraw, scan: ScanMap, colour: tuple[int, int, int]) -> None:
    """A dot beside the left end of the transducer's face."""
    rows, columns = np.nonzero(scan.inside)
    row = int(rows.min())
    column = int(columns[rows == row].min())
    pen.ellipse([column - 9, row + 1, column - 5, row + 5], fill=colour)
