"""Still images, by Pillow: a clip of one frame, or of a TIFF's pages, an ImageJ stack's planes, an animation's pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lusfx.contracts import Reader
from lusfx.errors import UnreadableClipError
from lusfx.readers.files import is_dicom, open_source, quiet
from lusfx.readers.pictures import DECODING_ERRORS, Pictures, open_pictures
from lusfx.readers.video import MAX_PIXELS
from lusfx.site_key import SiteKey
from lusfx.types import Clip, ClipInfo, Frame, FrameStatus, Note

HEADS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How PNG, JPEG, TIFF and BigTIFF begin."""
BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})


class ImageReader(Reader):
    """Screenshots, exported stills, and stacks of them."""

    name = "image"
    suffixes = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp")

    def claims_content(self, leading_bytes: bytes) -> bool:
        if is_dicom(leading_bytes):
            return False
        is_webp = leading_bytes[:4] == b"RIFF" and leading_bytes[8:12] == b"WEBP"
        is_bmp = leading_bytes[:2] == b"BM" and int.from_bytes(leading_bytes[14:18], "little") in BMP_HEADERS
        return leading_bytes.startswith(HEADS) or is_webp or is_bmp

    @contextmanager
    def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
        from PIL import Image

        with open_source(path) as stream:
            try:
                with quiet():
                    clip = ImageClip(open_pictures(stream))
            except Image.DecompressionBombError:
                raise UnreadableClipError("too-large", "the image declares too many pixels") from None
            except DECODING_ERRORS as error:
                raise UnreadableClipError(
                    "damaged", f"not an image that is read here ({type(error).__name__})"
                ) from None
            yield clip


class ImageClip:
    """A still, or pictures that lie in one file."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        height, width = pictures.display.shape(*pictures.size)
        if not 0 < height * width <= MAX_PIXELS:
            raise UnreadableClipError("too-large", f"the image has {width} x {height} pixels")
        self._range = pictures.grey_range()
        self._notes = set(pictures.notes)
        if self._range.is_guessed:
            self._notes.add(Note.GREY_RANGE_FROM_DATA)
        self.info = ClipInfo(
            reader=ImageReader.name,
            height=height,
            width=width,
            n_frames_declared=pictures.n_declared,
            time_source=pictures.time_source,
        )

    @property
    def notes(self) -> frozenset[Note]:
        return frozenset(self._notes)

    def frames(self) -> Iterator[Frame]:
        pictures = self._pictures
        n_readable = 0
        time_s = 0.0
        for number in range(pictures.n):
            if math.isnan(time_s):
                self._notes.add(Note.FRAME_TIMES_UNKNOWN)
            try:
                with quiet():
                    samples = pictures.samples(number)
                    duration_s = pictures.duration_s()
            except DECODING_ERRORS:
                self._notes.add(Note.UNREADABLE_FRAMES)
                yield Frame(number, time_s, None, FrameStatus.UNREADABLE)
                time_s = math.nan
                continue
            if samples.shape != pictures.size:
                raise UnreadableClipError("frame-size-changed", "the pages of the image differ in size")
            n_readable += 1
            yield Frame(number, time_s, pictures.display.frame(self._range.grey(samples)))
            time_s += duration_s
        if n_readable == 0:
            raise UnreadableClipError("damaged", "the image cannot be decoded")
