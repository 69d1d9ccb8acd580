"""Transfer syntaxes: which are read, and which one a file is in that states none (PS3.5 10, A; PS3.6 A)."""

from __future__ import annotations

import re
import struct
from typing import IO, TYPE_CHECKING

from lusfx.readers.containers import container_format
from lusfx.readers.dicom_codestreams import FRAME_MARKERS, START_OF_SCAN, segments
from lusfx.readers.dicom_values import PIXEL_DATA
from lusfx.readers.video import SNIFFED_BYTES

if TYPE_CHECKING:
    from pydicom import Dataset

IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG})
"""Syntaxes without compression."""
_MPEG2, _H264, _HEVC = "mpegvideo", "h264", "hevc"
_WHOLE_STREAMS = {
    "1.2.840.10008.1.2.4.100": _MPEG2,  # MPEG2 Main Profile / Main Level
    "1.2.840.10008.1.2.4.101": _MPEG2,  # MPEG2 Main Profile / High Level
    "1.2.840.10008.1.2.4.102": _H264,  # MPEG-4 AVC/H.264 High Profile / Level 4.1
    "1.2.840.10008.1.2.4.103": _H264,  # BD-compatible
    "1.2.840.10008.1.2.4.104": _H264,  # Level 4.2 for 2D video
    "1.2.840.10008.1.2.4.105": _H264,  # Level 4.2 for 3D video
    "1.2.840.10008.1.2.4.106": _H264,  # Stereo
}
VIDEO_STREAMS = {
    **_WHOLE_STREAMS,
    **{
        f"{syntax}.1": stream for syntax, stream in _WHOLE_STREAMS.items()
    },  # fragmentable: the same in several fragments
    "1.2.840.10008.1.2.4.107": _HEVC,  # HEVC/H.265 Main Profile / Level 5.1
    "1.2.840.10008.1.2.4.108": _HEVC,  # HEVC/H.265 Main 10 Profile / Level 5.1
}
"""Transfer syntaxes whose pixel data is one video stream, and what the stream is where no container is around it."""
ELEMENTARY_STREAMS = (
    (
        re.compile(rb"\x00{1,3}\x01[\x40\x46]\x01", re.DOTALL),
        _HEVC,
    ),  # a parameter set or delimiter (ITU-T H.265, 7.3.1.2)
    (re.compile(rb"\x00{2,3}\x01[\x09\x27\x47\x67]", re.DOTALL), _H264),  # the same (ITU-T H.264, 7.3.1)
)
"""How video begins that has no container."""
SYNTAX_OF_STREAM = {
    _MPEG2: "1.2.840.10008.1.2.4.100",
    _H264: "1.2.840.10008.1.2.4.102",
    _HEVC: "1.2.840.10008.1.2.4.107",
}
SNIFFED_CODESTREAM = 1 << 16
ITEM = (0xFFFE, 0xE000)


def is_readable(syntax: str) -> bool:
    """Whether there is a codec for what a transfer syntax holds."""
    from pydicom.pixels import get_decoder

    if syntax in VIDEO_STREAMS:
        return True
    try:
        get_decoder(syntax)
    except NotImplementedError:
        return False
    return True


def video_format(leading_bytes: bytes, syntax: str) -> str:
    """FFmpeg's name of the format of a video payload, by its first bytes or else by its transfer syntax."""
    return _video_format(leading_bytes) or VIDEO_STREAMS[syntax]


def settled_syntax(stream: IO[bytes], dataset: Dataset, stated: str) -> str:
    """The transfer syntax that a file is in: the stated one, unless none is stated or its elements are written in another.

    :param stream: where reading the header stopped, and left there.
    :param stated: empty where the file states none.
    :returns: empty where it cannot be inferred.
    """
    if stated and stated not in NATIVE:
        return stated
    native = _encoding(dataset) or stated
    if stated:
        return native
    place = stream.tell()
    fragment = _first_fragment(stream, native)
    stream.seek(place)
    return native if fragment is None else _syntax_of(fragment)


def _encoding(dataset: Dataset) -> str:
    """How the header is encoded, as its elements were found to be; empty where none tells."""
    from pydicom.dataelem import RawDataElement

    for tag in dataset.keys():  # noqa: SIM118 - the elements themselves would be converted
        element = dataset.get_item(tag)
        if isinstance(element, RawDataElement):
            if not element.is_little_endian:
                return EXPLICIT_BIG
            return IMPLICIT_LITTLE if element.is_implicit_VR else EXPLICIT_LITTLE
    return ""


def _first_fragment(stream: IO[bytes], native: str) -> bytes | None:
    """The beginning of the first fragment of pixel data; None where the pixel data is not in fragments (PS3.5 A.4)."""
    head = stream.read(8 if native == IMPLICIT_LITTLE else 12)
    if len(head) < 8 or head[-4:] != b"\xff\xff\xff\xff" or struct.unpack("<HH", head[:4]) != PIXEL_DATA:
        return None
    for number in range(2):  # the first item is the offset table
        head = stream.read(8)
        if len(head) < 8 or struct.unpack("<HH", head[:4]) != ITEM:
            return b""
        (length,) = struct.unpack("<L", head[4:])
        if number == 0:
            stream.seek(length, 1)
    return stream.read(min(length, SNIFFED_CODESTREAM))


def _syntax_of(fragment: bytes) -> str:
    """The transfer syntax of a codestream; empty where it is none that is known here."""
    if fragment.startswith(b"\xff\xd8"):
        return _jpeg_syntax(fragment)
    if fragment.startswith(b"\xff\x4f\xff\x51"):
        high_throughput = b"\xff\x50" in fragment[:256]  # the marker of extended capabilities (ISO 15444-15, A.2)
        return "1.2.840.10008.1.2.4.203" if high_throughput else "1.2.840.10008.1.2.4.91"
    if (video := _video_format(fragment)) is not None:
        return SYNTAX_OF_STREAM.get(video, SYNTAX_OF_STREAM[_H264])
    n_segments, first = struct.unpack("<LL", fragment[:8].ljust(8, b"\0"))
    return "1.2.840.10008.1.2.5" if 1 <= n_segments <= 15 and first == 64 else ""  # run lengths (PS3.5 G.5)


def _jpeg_syntax(fragment: bytes) -> str:
    """By the kind of its frame and by the parameters of its first scan (ISO 10918-1, B.2; ISO 14495-1, C.2)."""
    kind = None
    try:
        for marker, begin, _ in segments(fragment):
            if marker in FRAME_MARKERS:
                kind = marker
            elif marker == START_OF_SCAN:
                parameter = fragment[begin + 1 + 2 * fragment[begin]]
                # Prediction 1 and no loss have syntaxes of their own.
                lossless = "1.2.840.10008.1.2.4.70" if parameter == 1 else "1.2.840.10008.1.2.4.57"
                jpeg_ls = "1.2.840.10008.1.2.4.80" if parameter == 0 else "1.2.840.10008.1.2.4.81"
                by_kind = {
                    0xC0: "1.2.840.10008.1.2.4.50",
                    0xC1: "1.2.840.10008.1.2.4.51",
                    0xC3: lossless,
                    0xF7: jpeg_ls,
                }
                return by_kind.get(kind, "") if kind is not None else ""
    except (IndexError, struct.error):
        return ""
    return ""


def _video_format(leading_bytes: bytes) -> str | None:
    for pattern, name in ELEMENTARY_STREAMS:
        if pattern.match(leading_bytes):
            return name
    return container_format(leading_bytes[:SNIFFED_BYTES])
