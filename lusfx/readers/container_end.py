"""Whether a video file ends before its container does, where FFmpeg does not tell.

FFmpeg shows what a GIF holds up to any byte as a whole picture, and takes a Matroska file or a transport stream that was
cut short for one that ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import IO, Final

SEGMENT_ID: Final = b"\x18\x53\x80\x67"
ID_BYTES = 4
GIF_HEADER_BYTES, GIF_DESCRIPTOR_BYTES = 13, 9
TS_BYTES, TIMED_TS_BYTES, TS_SYNC = 188, 192, 0x47
"""Packets of a transport stream, and as cameras store them, a time before each."""
EXTENSION, IMAGE, TRAILER = 0x21, 0x2C, 0x3B
"""What a block of a GIF begins with."""


def ends_early(stream: IO[bytes], container: str) -> bool:
    """Whether the end of a GIF, a Matroska file or a transport stream is missing; False of others, which FFmpeg watches itself.

    :param stream: seekable; left where it was.
    :param container: FFmpeg's name of the format.
    """
    check = _CHECKS.get(container)
    if check is None:
        return False
    place = stream.tell()
    try:
        stream.seek(0)
        return check(stream)
    except EOFError:
        return True
    finally:
        stream.seek(place)


def _gif_ends_early(stream: IO[bytes]) -> bool:
    """Walk from block to block (GIF89a, appendix B); a sound file comes to a trailer."""
    _skip_colours(stream, _exactly(stream, GIF_HEADER_BYTES)[10])
    while (kind := _exactly(stream, 1)[0]) != TRAILER:
        if kind == IMAGE:
            _skip_colours(stream, _exactly(stream, GIF_DESCRIPTOR_BYTES)[8])
        elif kind != EXTENSION:
            return False  # damaged rather than cut
        _exactly(stream, 1)  # of an image the code size, of an extension its label
        while size := _exactly(stream, 1)[0]:
            _exactly(stream, size)
    return False


def _skip_colours(stream: IO[bytes], flags: int) -> None:
    if flags & 0x80:
        _exactly(stream, 3 * (2 << (flags & 7)))


def _matroska_ends_early(stream: IO[bytes]) -> bool:
    """Compare the length of the segment, which is all but the head of the file, with what is there (RFC 8794 and 9559)."""
    _exactly(stream, ID_BYTES)
    head_bytes = _ebml_size(stream)
    _exactly(stream, min(head_bytes or 0, 1 << 16))
    if _exactly(stream, ID_BYTES) != SEGMENT_ID:
        return False
    segment_bytes = _ebml_size(stream)
    start = stream.tell()
    return segment_bytes is not None and start + segment_bytes > stream.seek(0, os.SEEK_END)


def _transport_stream_ends_early(stream: IO[bytes]) -> bool:
    """Whether the last packet is cut (ISO 13818-1, 2.4.3.2), where it is one: what follows may be padding of another kind."""
    packet_bytes = TS_BYTES if _exactly(stream, 1)[0] == TS_SYNC else TIMED_TS_BYTES
    rest = stream.seek(0, os.SEEK_END) % packet_bytes
    if rest <= packet_bytes - TS_BYTES:
        return False
    stream.seek(packet_bytes - TS_BYTES - rest, os.SEEK_END)
    return _exactly(stream, 1)[0] == TS_SYNC


def _ebml_size(stream: IO[bytes]) -> int | None:
    """A variable-size integer (RFC 8794, section 4); None of the size that says that it is not known."""
    first = _exactly(stream, 1)[0]
    n_more = 8 - first.bit_length()
    if n_more > 7:
        return None
    value = int.from_bytes(bytes([first ^ (0x80 >> n_more)]) + _exactly(stream, n_more), "big")
    return None if value == (1 << (7 * (n_more + 1))) - 1 else value


def _exactly(stream: IO[bytes], n_bytes: int) -> bytes:
    """So many bytes.

    :raises EOFError: if there are fewer.
    """
    content = stream.read(n_bytes)
    if len(content) < n_bytes:
        raise EOFError
    return content


_CHECKS: Mapping[str, Callable[[IO[bytes]], bool]] = {
    "gif": _gif_ends_early,
    "matroska": _matroska_ends_early,
    "mpegts": _transport_stream_ends_early,
}
