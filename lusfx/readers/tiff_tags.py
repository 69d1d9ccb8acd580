"""Tags of a TIFF (TIFF 6.0), as Pillow gives them: a number, a tuple of them, text, whatever the file holds."""

from __future__ import annotations

from typing import Any, Final

SUBFILE_TYPE: Final = 254
OLD_SUBFILE_TYPE: Final = 255
WIDTH: Final = 256
HEIGHT: Final = 257
BITS_PER_SAMPLE: Final = 258
COMPRESSION: Final = 259
PHOTOMETRIC: Final = 262
DESCRIPTION: Final = 270
STRIP_OFFSETS: Final = 273
ORIENTATION: Final = 274
SAMPLES_PER_PIXEL: Final = 277
STRIP_BYTE_COUNTS: Final = 279
MAX_SAMPLE_VALUE: Final = 281
X_RESOLUTION: Final = 282
Y_RESOLUTION: Final = 283
PLANAR_CONFIGURATION: Final = 284
COLOUR_MAP: Final = 320
SAMPLE_FORMAT: Final = 339


def tags_of(image: Any) -> Any:
    """The tags of the page that Pillow stands at; empty of a file that is no TIFF."""
    return getattr(image, "tag_v2", {})


def whole_tag(image: Any, number: int, default: int) -> int:
    """A tag that is a whole number, the first of its values; the default where there is none."""
    value = tags_of(image).get(number, default)
    if isinstance(value, tuple):
        value = value[0] if value else default
    return value if isinstance(value, int) else default
