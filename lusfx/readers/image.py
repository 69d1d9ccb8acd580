"""Still images, by Pillow: a clip of one frame, or of a TIFF's pages."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lusfx.contracts import Reader
from lusfx.errors import UnreadableClipError
from lusfx.readers.files import open_source, quiet
from lusfx.readers.video import MAX_PIXELS
from lusfx.site_key import SiteKey
from lusfx.types import Clip, ClipInfo, Frame, FrameStatus, GreyImage, Note, TimeSource

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
DECODING_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    MemoryError,
    RuntimeError,
)
"""What Pillow's decoders raise on damaged files."""


class ImageReader(Reader):
    """Screenshots and exported stills."""

    name = "image"
    suffixes = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

    @contextmanager
    def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
        from PIL import Image

        with open_source(path) as stream:
            try:
                with quiet():
                    clip = ImageClip(Image.open(stream, formats=FORMATS))
            except Image.DecompressionBombError:
                raise UnreadableClipError("too-large", "the image declares too many pixels") from None
            except DECODING_ERRORS as error:
                raise UnreadableClipError(
                    "damaged", f"not an image that is read here ({type(error).__name__})"
                ) from None
            yield clip


class ImageClip:
    """A still, or the pages of a TIFF."""

    def __init__(self, image: Image) -> None:
        if not 0 < image.width * image.height <= MAX_PIXELS:
            raise UnreadableClipError("too-large", f"the image has {image.width} x {image.height} pixels")
        self._image = image
        self._notes: set[Note] = set()
        n_pages = int(getattr(image, "n_frames", 1))
        self.info = ClipInfo(
            reader=ImageReader.name,
            height=image.height,
            width=image.width,
            n_frames_declared=n_pages,
            time_source=TimeSource.STILL if n_pages == 1 else TimeSource.UNKNOWN,
        )

    @property
    def notes(self) -> frozenset[Note]:
        return frozenset(self._notes)

    def frames(self) -> Iterator[Frame]:
        n_pages = self.info.n_frames_declared or 1
        if n_pages > 1:
            self._notes.add(Note.FRAME_TIMES_UNKNOWN)
        n_readable = 0
        for page in range(n_pages):
            time_s = 0.0 if page == 0 else math.nan
            try:
                with quiet():
                    self._image.seek(page)
                    pixels = grey_image(self._image)
            except DECODING_ERRORS:
                self._notes.add(Note.UNREADABLE_FRAMES)
                yield Frame(page, time_s, None, FrameStatus.UNREADABLE)
                continue
            if pixels.shape != (self.info.height, self.info.width):
                raise UnreadableClipError("frame-size-changed", "the pages of the image differ in size")
            n_readable += 1
            yield Frame(page, time_s, pixels)
        if n_readable == 0:
            raise UnreadableClipError("damaged", "the image cannot be decoded")


def grey_image(image: Image) -> GreyImage:
    """Luma (ITU-R BT.601) of an image, 8 bits.

    Transparent pixels lie on black. 16-bit samples keep their upper 8 bits; float samples are refused, since nothing says
    what their white is.
    """
    from PIL import Image

    if image.mode in ("I;16", "I;16L", "I;16B", "I;16N", "I"):
        values: GreyImage = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        return values
    if image.mode == "F":
        raise ValueError("float samples")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    grey: GreyImage = np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB").convert("L"))
    return grey
