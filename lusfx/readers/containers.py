"""Which video container a file is, told from its first bytes.

Only what is named here reaches FFmpeg. Some of its formats are scripts and playlists that open other files;
they begin otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

CONTAINERS = (
    (re.compile(rb".{4}(ftyp|moov|mdat|wide|free|skip|moof|styp)", re.DOTALL), "mov"),  # MP4 and QuickTime
    (re.compile(rb"RIFF.{4}AVI ", re.DOTALL), "avi"),
    (re.compile(rb"\x1a\x45\xdf\xa3"), "matroska"),  # WebM too
    (re.compile(rb"GIF8[79]a"), "gif"),
    (re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"), "asf"),  # WMV
    (re.compile(rb"OggS\x00"), "ogg"),
    (re.compile(rb"FLV\x01"), "flv"),
    (re.compile(rb"\x00\x00\x01\xba"), "mpeg"),  # program stream
    (re.compile(rb"\x00\x00\x01\xb3"), "mpegvideo"),  # elementary stream
    (re.compile(rb"\x47.{187}\x47", re.DOTALL), "mpegts"),
    (re.compile(rb".{4}\x47.{191}\x47", re.DOTALL), "mpegts"),  # as cameras store it, a time before each packet
    (re.compile(rb"\x1f\x07\x00[\x3f\xbf]"), "dv"),
    # H.264, Annex B: a sequence parameter set of a profile that exists, after an access unit delimiter or not.
    (
        re.compile(
            rb"\x00?\x00\x00\x01(\x09[\x10-\xf0]\x00?\x00\x00\x01)?[\x27\x47\x67][\x42\x4d\x58\x64\x6e\x7a\xf4\x2c]"
        ),
        "h264",
    ),
    # HEVC, Annex B: a video parameter set, after an access unit delimiter or not.
    (re.compile(rb"\x00?\x00\x00\x01(\x46\x01[\x10-\xf0]\x00?\x00\x00\x01)?\x40\x01[\x00-\x0f]", re.DOTALL), "hevc"),
    (re.compile(rb"\x00\x00\x01\xb0.\x00\x00\x01", re.DOTALL), "m4v"),  # MPEG-4 part 2, elementary stream
)
"""How each container begins, and FFmpeg's name for it."""

OTHER_BRANDS = frozenset(
    {
        b"heic",
        b"heix",
        b"heim",
        b"heis",
        b"hevc",
        b"hevx",
        b"mif1",
        b"msf1",
        b"avif",
        b"avis",
        b"crx ",
        b"jpx ",
        b"jp2 ",
    }
    | {b"M4A ", b"M4B ", b"M4P "}
)
"""Major brands (ISO 14496-12, 4.3) of photographs, pictures and music, which have the build of an MP4."""
ASF_VIDEO = b"\xc0\xef\x19\xbc\x4d\x5b\xcf\x11\xa8\xfd\x00\x80\x5f\x5c\x44\x2b"
"""How the header of a WMV names a stream of video; that of a WMA has none."""
OGG_VIDEO = (b"\x80theora", b"OVP80")
MATROSKA = (b"matroska", b"webm")
TEXT = re.compile(rb"[\x09-\x0d\x20-\x7e]*")


def container_format(leading_bytes: bytes) -> str | None:
    """FFmpeg's name for the container that a file begins with; None for anything but the containers read here."""
    for pattern, name in CONTAINERS:
        if pattern.match(leading_bytes):
            return name
    return None


def is_video(leading_bytes: bytes) -> bool:
    """Whether a file of any name is a video, so that it is not passed over; in doubt it is not.

    :param leading_bytes: as many as a reader is shown, or all of a shorter file.
    """
    container = container_format(leading_bytes)
    if container is None or TEXT.fullmatch(leading_bytes):
        return False
    check = _CHECKS.get(container)
    return check is None or check(leading_bytes)


def _is_movie(head: bytes) -> bool:
    size = int.from_bytes(head[:4], "big")
    is_sized = size <= 1 or size >= 8  # 0 and 1 stand for sizes that are given elsewhere
    return is_sized and not (head[4:8] == b"ftyp" and head[8:12] in OTHER_BRANDS)


def _is_transport_stream(head: bytes) -> bool:
    length, start = (188, 0) if head[:1] == b"\x47" else (192, 4)
    marks = head[start::length]
    return len(marks) > 4 and set(marks) == {0x47}


_CHECKS: Mapping[str, Callable[[bytes], bool]] = {
    "mov": _is_movie,
    "mpegts": _is_transport_stream,
    "matroska": lambda head: any(kind in head[:64] for kind in MATROSKA),
    "asf": lambda head: ASF_VIDEO in head,
    "ogg": lambda head: any(kind in head for kind in OGG_VIDEO),
}
