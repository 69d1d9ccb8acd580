"""Codecs asked directly for the grey image of a frame, where pydicom's way to it is a detour.

pydicom describes and checks each frame anew, and gives all colours: of a JPEG in colour, the luma alone costs a quarter. A
codec here is made once a clip; it answers None wherever a frame is not of the plainest kind, and pydicom is then asked.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.readers.files import quiet
from lusfx.types import GreyImage

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LS_LOSSLESS, JPEG_LS_NEAR_LOSSLESS = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
RLE = "1.2.840.10008.1.2.5"
LUMA_601 = np.array([0.299, 0.587, 0.114], np.float32)
COLOUR_SPACES_WITH_LUMA = frozenset({"YBR_FULL", "YBR_FULL_422"})
RLE_HEADER = struct.Struct("<16L")
"""Number of segments, and where each begins (PS3.5 G.3.2)."""
PADDING = b"\0"
START_OF_SCAN = b"\xff\xda"


Codec = Callable[[bytes], GreyImage | None]
"""Answers with the grey image ``(height, width)`` of a compressed frame, or None."""


def luma(rgb: NDArray[np.uint8]) -> GreyImage:
    """Luma (ITU-R BT.601) of full-range RGB ``(height, width, 3)``, rounded.

    Written out, since a matrix product's last bit depends on the processor and on how the colours lie in memory; so the
    same pixels come out everywhere, of planes as of interleaved colours.
    """
    red, green, blue = (rgb[..., colour] * LUMA_601[colour] for colour in range(3))
    red += green
    red += blue
    red += np.float32(0.5)
    grey: GreyImage = red.astype(np.uint8)
    return grey


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


class JpegLuma:
    """Luma of JPEGs: libjpeg leaves out the other planes, and decodes into the array that is given away.

    Pillow reads what stands before a scan in Python, at a tenth of a frame's time. The frames of a clip come from one
    machine, and differ behind it only: what was read once is not read again where it is the same to the byte.
    """

    def __init__(self, facts: FrameFacts) -> None:
        self._facts = facts
        self._header = b""
        self._options: tuple[Any, ...] | None = None
        """What Pillow's decoder is told of frames with this header; None where they are left to pydicom."""

    def __call__(self, frame: bytes) -> GreyImage | None:
        from PIL import Image

        if not self._header or not frame.startswith(self._header):
            # Emptied first, so that a header that raises is not taken for the one before.
            self._header = b""
            header = _until_scan(frame)
            self._options = self._read(header)
            self._header = header
        if self._options is None:
            return None
        grey = np.empty((self._facts.height, self._facts.width), np.uint8)
        held = Image.frombuffer("L", (self._facts.width, self._facts.height), grey, "raw", "L", 0, 1)
        held.frombytes(frame, "jpeg", self._options)
        return grey

    def _read(self, header: bytes) -> tuple[Any, ...] | None:
        from PIL import Image

        facts = self._facts
        with quiet():
            image = Image.open(io.BytesIO(header), formats=("JPEG",))
        grey = image.mode == "L" and facts.photometric == "MONOCHROME2"
        # With an Adobe marker the colours may be none that have a luma plane.
        plain = image.format == "JPEG" and "adobe_transform" not in image.info
        ybr = image.mode == "RGB" and facts.photometric in COLOUR_SPACES_WITH_LUMA and plain
        if image.size != (facts.width, facts.height) or not (grey or ybr):
            return None
        image.draft("L", image.size)
        ((_, _, _, options),) = image.tile
        return (*options, *image.decoderconfig) if isinstance(options, tuple) else None


def _until_scan(frame: bytes) -> bytes:
    """A JPEG up to the entropy-coded data of its first scan (ISO 10918-1, B.2)."""
    place = frame.index(START_OF_SCAN) + len(START_OF_SCAN)
    return frame[: place + int.from_bytes(frame[place : place + 2], "big")]


class JpegLsLuma:
    """Luma of JPEG-LS, of which all planes must be decoded."""

    def __init__(self, facts: FrameFacts) -> None:
        self._facts = facts
        self._components = {"MONOCHROME2": 1, "RGB": 3}.get(facts.photometric)

    def __call__(self, frame: bytes) -> GreyImage | None:
        from jpeg_ls import decode_buffer

        if self._components is None:
            return None
        pixels, found = decode_buffer(frame)
        height, width, components = self._facts.height, self._facts.width, self._components
        expected = {"height": height, "width": width, "components": components, "bits_per_sample": 8}
        if any(found[name] != value for name, value in expected.items()):
            return None
        samples: NDArray[np.uint8] = np.frombuffer(pixels, np.uint8)
        if components == 1:
            return samples.reshape(height, width)
        if found["interleave_mode"] == 0:  # planes, seen as pydicom gives them
            return luma(samples.reshape(components, height, width).transpose(1, 2, 0))
        return luma(samples.reshape(height, width, components))


class RleLuma:
    """Luma of run lengths, which hold plane after plane (PS3.5 G.2)."""

    def __init__(self, facts: FrameFacts) -> None:
        self._facts = facts

    def __call__(self, frame: bytes) -> GreyImage | None:
        n_segments, *starts = RLE_HEADER.unpack_from(frame)
        photometric = self._facts.photometric
        if photometric == "MONOCHROME2" and n_segments == 1:
            return self._plane(frame)
        if photometric != "RGB" or n_segments != 3:
            return None
        segments = [frame[starts[0] : starts[1]], frame[starts[1] : starts[2]], frame[starts[2] :]]
        shortest = min(segments, key=len)
        if all(segment in (shortest, shortest + PADDING) for segment in segments):
            # Grey that is written alike in all colours has itself for luma, so that one plane is enough.
            return self._plane(RLE_HEADER.pack(1, RLE_HEADER.size, *[0] * 14) + shortest)
        return luma(self._planes(frame, 3).transpose(1, 2, 0))

    def _plane(self, frame: bytes) -> GreyImage:
        (plane,) = self._planes(frame, 1)
        return np.asarray(plane)

    def _planes(self, frame: bytes, n_planes: int) -> GreyImage:
        """Planes ``(n_planes, height, width)``; pylibjpeg's decoder refuses segments that do not fit."""
        from rle.rle import decode_frame

        facts = self._facts
        decoded: NDArray[np.uint8] = np.frombuffer(decode_frame(frame, facts.height * facts.width, 8, "<"), np.uint8)
        return decoded.reshape(n_planes, facts.height, facts.width)


CODECS: Mapping[str, Callable[[FrameFacts], Codec]] = {
    JPEG_BASELINE: JpegLuma,
    JPEG_LS_LOSSLESS: JpegLsLuma,
    JPEG_LS_NEAR_LOSSLESS: JpegLsLuma,
    RLE: RleLuma,
}
"""By transfer syntax, for a clip's frames. A codec raises whatever its library raises on a damaged frame, and warns of
nothing: what Pillow has to say of a header is dropped there."""
