"""Codecs asked directly for the grey image of a frame, where pydicom's way to it is a detour.

pydicom describes and checks each frame anew, and gives all colours: of a JPEG in colour, the luma alone costs a quarter. A
codec here answers None wherever a frame is not of the plainest kind, and pydicom is then asked.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.types import GreyImage

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
RLE = "1.2.840.10008.1.2.5"
LUMA_601 = np.array([0.299, 0.587, 0.114], np.float32)
COLOUR_SPACES_WITH_LUMA = frozenset({"YBR_FULL", "YBR_FULL_422"})
RLE_HEADER = struct.Struct("<16L")
"""Number of segments, and where each begins (PS3.5 G.3.2)."""
PADDING = b"\0"


def luma(rgb: NDArray[np.uint8]) -> GreyImage:
    """Luma (ITU-R BT.601) of full-range RGB ``(height, width, 3)``, rounded."""
    return (rgb @ LUMA_601 + np.float32(0.5)).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """What the header says of each frame.

    :param photometric: photometric interpretation (PS3.3 C.7.6.3.1.2).
    """

    height: int
    width: int
    photometric: str

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> FrameFacts | None:
        """From pydicom's pixel options; None where samples have other than 8 bits."""
        if not options["bits_allocated"] == options["bits_stored"] == 8:
            return None
        return cls(int(options["rows"]), int(options["columns"]), str(options["photometric_interpretation"]))


def jpeg_luma(frame: bytes, facts: FrameFacts) -> GreyImage | None:
    """Luma of a JPEG: libjpeg leaves out the other planes."""
    from PIL import Image

    image = Image.open(io.BytesIO(frame), formats=("JPEG",))
    grey = image.mode == "L" and facts.photometric == "MONOCHROME2"
    # With an Adobe marker the colours may be none that have a luma plane.
    ybr = image.mode == "RGB" and facts.photometric in COLOUR_SPACES_WITH_LUMA and "adobe_transform" not in image.info
    if image.size != (facts.width, facts.height) or not (grey or ybr):
        return None
    image.draft("L", image.size)
    return np.asarray(image)


def rle_luma(frame: bytes, facts: FrameFacts) -> GreyImage | None:
    """Luma of run lengths, which hold plane after plane (PS3.5 G.2)."""
    n_segments, *starts = RLE_HEADER.unpack_from(frame)
    if facts.photometric == "MONOCHROME2" and n_segments == 1:
        return _rle_planes(frame, 1, facts)[0]
    if facts.photometric != "RGB" or n_segments != 3:
        return None
    segments = [frame[starts[0] : starts[1]], frame[starts[1] : starts[2]], frame[starts[2] :]]
    shortest = min(segments, key=len)
    if all(segment in (shortest, shortest + PADDING) for segment in segments):
        # Grey that is written alike in all colours has itself for luma, so that one plane is enough.
        return _rle_planes(RLE_HEADER.pack(1, RLE_HEADER.size, *[0] * 14) + shortest, 1, facts)[0]
    # Written out, because it is the sum that :func:`luma` makes, to the last bit, without the planes being interleaved.
    red, green, blue = (plane * weight for plane, weight in zip(_rle_planes(frame, 3, facts), LUMA_601, strict=True))
    red += green
    red += blue
    red += np.float32(0.5)
    grey: GreyImage = red.astype(np.uint8)
    return grey


def _rle_planes(frame: bytes, n_planes: int, facts: FrameFacts) -> list[GreyImage]:
    """Each plane ``(height, width)``; pylibjpeg's decoder refuses segments that do not fit."""
    from rle.rle import decode_frame

    decoded = np.frombuffer(decode_frame(frame, facts.height * facts.width, 8, "<"), np.uint8)
    return list(decoded.reshape(n_planes, facts.height, facts.width))


CODECS: Mapping[str, Callable[[bytes, FrameFacts], GreyImage | None]] = {JPEG_BASELINE: jpeg_luma, RLE: rle_luma}
"""By transfer syntax. Each raises whatever its library raises on a damaged frame."""
