"""What a compressed frame says of itself, read without decoding it.

JPEG and JPEG Lossless (ISO 10918-1, B), JPEG-LS (ISO 14495-1, C), JPEG 2000 and HTJ2K (ISO 15444-1, A and I). A DICOM header is
copied and edited by hand; the codestream was written by the encoder that knew. A codec is given nothing that was not looked at
here: some end the process where header and codestream disagree.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

JPEG_BEGIN, J2K_BEGIN, JP2_BEGIN = b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "
END_OF_CODESTREAM = b"\xff\xd9"
"""EOI of JPEG and JPEG-LS, EOC of JPEG 2000."""
START_OF_SCAN, HUFFMAN_TABLES, ADOBE, JFIF = 0xDA, 0xC4, 0xEE, 0xE0
WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xDA)})
"""Markers that begin no segment (ISO 10918-1, B.1.1.3)."""
START_OF_TILE, SIZE, COD = 0x90, 0x51, 0x52
MOST_BEFORE = 64
"""Bytes that may stand before a codestream and belong to nothing."""
JP2_HEAD_BYTES = 4096


class Kind(StrEnum):
    """Families of codecs."""

    JPEG = "JPEG"
    JPEG_LOSSLESS = "JPEG Lossless"
    JPEG_LS = "JPEG-LS"
    JPEG_2000 = "JPEG 2000"


FRAME_KINDS = {
    0xC0: Kind.JPEG,  # baseline
    0xC1: Kind.JPEG,  # extended
    0xC2: Kind.JPEG,  # progressive
    0xC3: Kind.JPEG_LOSSLESS,
    0xF7: Kind.JPEG_LS,
}
"""By the second byte of the marker that begins a frame (SOF); all others are hierarchical or arithmetic."""
PROGRESSIVE = 0xC2
FRAME_MARKERS = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}


@dataclass(frozen=True, slots=True)
class Codestream:
    """What the head of a compressed frame says.

    :param precision: bits of a sample.
    :param colour: ``RGB`` or ``YBR_FULL`` of three components, where the stream states it; None where it does not.
    :param adobe: the transform that an Adobe marker states.
    :param is_progressive: whether later scans refine the picture, so that no scan shows that it is the last.
    :param body: where what is entropy coded begins; the first tile-part of JPEG 2000.
    """

    kind: Kind
    height: int
    width: int
    components: int
    precision: int
    is_signed: bool = False
    colour: str | None = field(default=None, compare=False)
    adobe: int | None = field(default=None, compare=False)
    is_progressive: bool = field(default=False, compare=False)
    body: int = field(default=0, compare=False)


def codestream_of(frame: bytes) -> Codestream | None:
    """What a frame says of itself; None of what no codec of ours reads, or whose head is damaged."""
    try:
        if frame.startswith(JPEG_BEGIN):
            return _jpeg(frame)
        if frame.startswith((J2K_BEGIN, JP2_BEGIN)):
            return _jpeg_2000(frame)
    except (struct.error, IndexError, ValueError):
        return None
    return None


def begins_codestream(content: bytes) -> bool:
    """Whether these are the first bytes of a compressed image other than run lengths, which have no mark."""
    return content.startswith((JPEG_BEGIN, J2K_BEGIN, JP2_BEGIN))


def trimmed(frame: bytes) -> bytes:
    """A frame from where its codestream begins."""
    if begins_codestream(frame):
        return frame
    places = [place for mark in (JPEG_BEGIN, J2K_BEGIN) if (place := frame.find(mark, 0, MOST_BEFORE)) > 0]
    return frame[min(places) :] if places else frame


def is_whole(frame: bytes) -> bool:
    """Whether a compressed frame has its end: decoders accept half a JPEG and make up the rest.

    Frames are padded to even length, by the standard with a zero, by some machines with 0xFF.
    """
    return frame.endswith(END_OF_CODESTREAM) or frame.rstrip(b"\x00\xff").endswith(END_OF_CODESTREAM)


def end_of(frame: bytes, stream: Codestream) -> int | None:
    """Where the end marker ends, whatever follows; None where there is none.

    Within entropy-coded data the marker cannot occur (ISO 10918-1, B.1.1.5; ISO 14495-1, A; ISO 15444-1, B.10.1).
    """
    place = frame.find(END_OF_CODESTREAM, stream.body)
    return None if place < 0 else place + len(END_OF_CODESTREAM)


def tile_parts_end(frame: bytes, stream: Codestream) -> int | None:
    """Where the last tile-part of a JPEG 2000 codestream ends (ISO 15444-1, A.4.2); None where it is cut or does not say."""
    place, seen = stream.body, 0
    while frame[place : place + 2] == bytes((0xFF, START_OF_TILE)):
        if place + 10 > len(frame):
            return None
        (length,) = struct.unpack_from(">L", frame, place + 6)
        if length < 12 or place + length > len(frame):
            return None
        place += length
        seen += 1
    return place if seen else None


def _jpeg(frame: bytes) -> Codestream | None:
    head: tuple[int, int, int, int, int] | None = None
    ids: bytes = b""
    factors: bytes = b""
    adobe: int | None = None
    has_jfif, kind, marker_of_frame = False, None, 0
    tables: set[int] = set()
    for marker, begin, end in segments(frame):
        if marker in FRAME_MARKERS:
            precision, height, width, components = struct.unpack_from(">BHHB", frame, begin)
            kind, marker_of_frame = FRAME_KINDS.get(marker), marker
            described = frame[begin + 6 : begin + 6 + 3 * components]
            if len(described) < 3 * components or end - begin < 6 + 3 * components:
                return None
            ids, factors = described[::3], described[1::3]
            head = (height, width, components, precision, end)
        elif marker == ADOBE and frame[begin : begin + 5] == b"Adobe" and end - begin >= 12:
            adobe = frame[begin + 11]
        elif marker == JFIF and frame[begin : begin + 4] == b"JFIF":
            has_jfif = True
        elif marker == HUFFMAN_TABLES:
            tables |= _huffman_tables(frame[begin:end])
        elif marker == START_OF_SCAN:
            if head is None or kind is None or not all(head[:4]):
                return None
            if kind is Kind.JPEG_LOSSLESS and not _is_lossless_scan(frame[begin:end], ids, tables):
                return None
            height, width, components, precision, _ = head
            colour = None
            if components == 3 and kind is not Kind.JPEG_LS:
                colour = _jpeg_colour(ids, factors, adobe, has_jfif)
            progressive = marker_of_frame == PROGRESSIVE
            return Codestream(kind, height, width, components, precision, False, colour, adobe, progressive, end)
    return None


def segments(frame: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin and end of the content of each segment up to the first scan's."""
    place = 2
    while True:
        while frame[place] == 0xFF and frame[place + 1] == 0xFF:  # markers may be preceded by fill bytes
            place += 1
        if frame[place] != 0xFF:
            return
        marker = frame[place + 1]
        if marker in WITHOUT_LENGTH:
            return
        (length,) = struct.unpack_from(">H", frame, place + 2)
        if length < 2 or place + 2 + length > len(frame):
            return
        yield marker, place + 4, place + 2 + length
        if marker == START_OF_SCAN:
            return
        place += 2 + length


def _huffman_tables(content: bytes) -> set[int]:
    """Class and place of each table of a segment (ISO 10918-1, B.2.4.2)."""
    tables, place = set(), 0
    while place < len(content):
        tables.add(content[place])
        place += 17 + sum(content[place + 1 : place + 17])
    if place != len(content):
        raise ValueError("a table that does not fill its segment")
    return tables


def _is_lossless_scan(scan: bytes, ids: bytes, tables: set[int]) -> bool:
    """Whether a scan of JPEG Lossless is one that its decoder was written for (ISO 10918-1, B.2.3 and H.1)."""
    n_components = scan[0]
    if len(scan) != 4 + 2 * n_components or not 1 <= n_components <= len(ids):
        return False
    selectors, used = scan[1 : 1 + 2 * n_components : 2], scan[2 : 2 + 2 * n_components : 2]
    predictor, last, shift = scan[-3:]
    return (
        set(selectors) <= set(ids)
        and all(table & 15 == 0 and table >> 4 in tables for table in used)
        and 1 <= predictor <= 7
        and last in (0, 63)
        and shift < 16
    )


def _jpeg_colour(ids: bytes, factors: bytes, adobe: int | None, has_jfif: bool) -> str | None:
    """What three components are: by an Adobe marker, names, JFIF, or chroma of lower resolution."""
    if adobe in (0, 1):
        return "YBR_FULL" if adobe else "RGB"
    if ids in (b"RGB", b"rgb"):
        return "RGB"
    if has_jfif or (factors[1] == factors[2] and factors[0] > factors[1]):
        return "YBR_FULL"
    return None


def _jpeg_2000(frame: bytes) -> Codestream | None:
    begin, colour = 0, None
    if frame.startswith(JP2_BEGIN):
        begin = frame.index(J2K_BEGIN, 0, JP2_HEAD_BYTES)
        box = frame.find(b"colr", 0, begin)
        if box > 0 and frame[box + 4] == 1:
            colour = {16: "RGB", 18: "YBR_FULL"}.get(struct.unpack_from(">L", frame, box + 7)[0])
    _, x1, y1, x0, y0 = struct.unpack_from(">HLLLL", frame, begin + 6)
    (components,) = struct.unpack_from(">H", frame, begin + 40)
    depths = frame[begin + 42 : begin + 42 + 3 * components : 3]
    if not depths or len(set(depths)) != 1:
        return None
    place, transformed = begin + 2, False
    while frame[place + 1] != START_OF_TILE:
        if frame[place] != 0xFF:
            return None
        (length,) = struct.unpack_from(">H", frame, place + 2)
        if frame[place + 1] == COD:
            transformed = bool(frame[place + 8])
        place += 2 + length
    if components == 3 and transformed:
        colour = "RGB"
    if components != 3:
        colour = None
    is_signed, precision = bool(depths[0] & 0x80), (depths[0] & 0x7F) + 1
    if x1 <= x0 or y1 <= y0:
        return None
    return Codestream(Kind.JPEG_2000, y1 - y0, x1 - x0, components, precision, is_signed, colour, body=place)
