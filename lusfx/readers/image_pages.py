"""Which pictures of an image file are frames, how long each is shown, and how they lie."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lusfx.readers.display import Display
from lusfx.readers.orientation import EXIF
from lusfx.readers.tiff_tags import (
    HEIGHT,
    OLD_SUBFILE_TYPE,
    ORIENTATION,
    SUBFILE_TYPE,
    WIDTH,
    X_RESOLUTION,
    Y_RESOLUTION,
    tags_of,
    whole_tag,
)

if TYPE_CHECKING:
    from PIL.Image import Image

TURNED_ASIDE = (5, 6, 7, 8)
"""Orientations that make columns of rows."""
REDUCED_OR_MASK = 0b101
"""Bits of NewSubfileType (TIFF 6.0): another page's picture in less detail; its transparency."""
ANIMATIONS = frozenset({"PNG", "WEBP"})
SHORTEST_S, UNSTATED_S = 0.0101, 0.1
"""Players show pictures that are to be shown for no time, or for up to 10 ms, for 100 ms."""


def frame_pages(image: Image) -> tuple[list[int], bool]:
    """The pages that are frames, and whether others were left out that no header says are previews.

    An animated PNG may have a picture for programs that know no animations; the further pictures of a JPEG are previews, gain
    maps or what another eye sees.
    """
    n_pages = int(getattr(image, "n_frames", 1))
    if image.format == "TIFF":
        return _tiff_pages(image, n_pages)
    if image.format == "PNG":
        return list(range(1 if n_pages > 1 and getattr(image, "default_image", False) else 0, n_pages)), False
    return list(range(n_pages if image.format == "WEBP" else 1)), False


def shown_size(image: Image) -> tuple[int, int]:
    """Height and width of the page that Pillow stands at, as it gives it; a TIFF's pages it turns once they are loaded."""
    if image.format != "TIFF":
        return image.height, image.width
    width, height = whole_tag(image, WIDTH, 0), whole_tag(image, HEIGHT, 0)
    return (width, height) if whole_tag(image, ORIENTATION, 1) in TURNED_ASIDE else (height, width)


def display_of(image: Image) -> Display:
    """How the picture that Pillow stands at is shown: by EXIF (for TIFF Pillow does so), and with square pixels."""
    aspect = _pixel_aspect(image)
    if image.format == "TIFF":
        is_turned = whole_tag(image, ORIENTATION, 1) in TURNED_ASIDE
        return Display(1 / aspect if is_turned else aspect)
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # what Pillow raises of a damaged block is as various as the damage; the picture may be sound
        orientation = 1
    turned = EXIF.get(orientation, Display())
    return replace(turned, pixel_aspect=aspect)


def duration_s(image: Image) -> float:
    """For how long the loaded page is shown, as players do; NaN where the file does not say."""
    milliseconds = image.info.get("duration") if image.format in ANIMATIONS else None
    if not isinstance(milliseconds, (int, float)) or not math.isfinite(milliseconds):
        return math.nan
    return milliseconds / 1000 if milliseconds / 1000 >= SHORTEST_S else UNSTATED_S


def _tiff_pages(image: Image, n_pages: int) -> tuple[list[int], bool]:
    if n_pages == 1:
        return [0], False
    sizes, full = [], []
    for page in range(n_pages):
        image.seek(page)
        sizes.append(shown_size(image))
        if not (whole_tag(image, SUBFILE_TYPE, 0) & REDUCED_OR_MASK or whole_tag(image, OLD_SUBFILE_TYPE, 1) == 2):
            full.append(page)
    full = full or list(range(n_pages))
    main = _main_size([sizes[page] for page in full])
    others = [page for page in full if sizes[page] != main]
    if not all(_is_preview(sizes[page], main) for page in others):
        return full, False  # and reading them ends with the code for that
    return [page for page in full if sizes[page] == main], bool(others)


def _main_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The size of most pages; of equally many the largest."""
    counts = Counter(sizes)
    return max(counts, key=lambda size: (counts[size], math.prod(size)))


def _is_preview(size: tuple[int, int], main: tuple[int, int]) -> bool:
    """Whether a page is smaller than the others and of their shape, as far as whole pixels allow."""
    (height, width), (full_height, full_width) = size, main
    return height < full_height and abs(width - full_width * height / full_height) <= max(1.5, 0.02 * width)


def _pixel_aspect(image: Image) -> float:
    """Width of a stored pixel divided by its height: the densities' ratio, whatever their unit; 1 where there are none.

    JFIF 1.02 (density), PNG 11.3.4.3 (pHYs), TIFF 6.0 (XResolution, YResolution).
    """
    densities: Any = None
    if image.format == "TIFF":
        densities = tags_of(image).get(X_RESOLUTION), tags_of(image).get(Y_RESOLUTION)
    elif image.format == "PNG":
        densities = image.info.get("aspect") or image.info.get("dpi")
    elif image.format in ("JPEG", "MPO"):
        densities = image.info.get("jfif_density")
    try:
        across, down = (float(density) for density in densities)
        return down / across if across > 0 and down > 0 else 1.0
    except (TypeError, ValueError, ZeroDivisionError):
        return 1.0
