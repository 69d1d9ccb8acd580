"""What kind of file it is, told by its first bytes: for files that no reader claims, so that nothing is left out unnamed.

A kind is a few words that name no file. Sources: PS3.10 section 7.1 (DICOM), RFC 1952 (gzip), POSIX.1-2017 pax (tar), PKWARE
APPNOTE 4.3.7 (zip), ISO/IEC 14496-12 section 4.3 (brands), RFC 1740 (AppleDouble), and the formats' own signatures.
"""

from __future__ import annotations

import lzma
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

PACKED_WITHIN = 3
"""How many packings within each other are looked into."""
UNPACKED_BYTES = 4096
LZMA_MEMORY = 2**26
TAR_BLOCK = 512


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file.

    :param name: for people and programs, such as ``HEIC image`` or ``gzip of DICOM``.
    :param is_picture: whether it is or holds an image, a clip or a DICOM file.
    """

    name: str
    is_picture: bool = False


EMPTY = FileKind("empty file")
UNKNOWN = FileKind("unknown")
UNREADABLE = FileKind("cannot be read")
FOLDER = FileKind("folder")
SYSTEM_FILE = FileKind("system file")
APPLE_DOUBLE = FileKind("AppleDouble")
DICOM = FileKind("DICOM", True)
HEADERLESS_DICOM = FileKind("DICOM without a file header", True)

SIGNATURES: tuple[tuple[int, bytes, FileKind], ...] = (
    (0, b"\x00\x05\x16\x07", APPLE_DOUBLE),
    (0, b"\x00\x05\x16\x00", APPLE_DOUBLE),
    (128, b"DICM", DICOM),
    (0, b"\xff\xd8\xff", FileKind("JPEG image", True)),
    (0, b"\x89PNG\r\n\x1a\n", FileKind("PNG image", True)),
    (0, b"\x8aMNG\r\n\x1a\n", FileKind("MNG animation", True)),
    (0, b"GIF8", FileKind("GIF image", True)),
    (0, b"II*\0", FileKind("TIFF image", True)),
    (0, b"MM\0*", FileKind("TIFF image", True)),
    (0, b"II+\0", FileKind("TIFF image", True)),
    (0, b"MM\0+", FileKind("TIFF image", True)),
    (0, b"\0\0\0\x0cjP  ", FileKind("JPEG 2000 image", True)),
    (0, b"\xff\x4f\xff\x51", FileKind("JPEG 2000 image", True)),
    (0, b"\0\0\0\x0cJXL ", FileKind("JPEG XL image", True)),
    (0, b"\xff\x0a", FileKind("JPEG XL image", True)),
    (0, b"8BPS", FileKind("Photoshop image", True)),
    (0, b"v/1\x01", FileKind("OpenEXR image", True)),
    (0, b"AT&TFORM", FileKind("DjVu document")),
    (0, b"SIMPLE  =", FileKind("FITS image", True)),
    (0, b"NRRD0", FileKind("NRRD image", True)),
    (344, b"n+1\0", FileKind("NIfTI image", True)),
    (344, b"ni1\0", FileKind("NIfTI image", True)),
    (4, b"n+2\0", FileKind("NIfTI image", True)),
    (0, b"ObjectType", FileKind("MetaImage", True)),
    (0, b"\x1a\x45\xdf\xa3", FileKind("Matroska or WebM video", True)),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", FileKind("ASF or WMV video", True)),
    (0, b"\x00\x00\x01\xba", FileKind("MPEG video", True)),
    (0, b"\x00\x00\x01\xb3", FileKind("MPEG video", True)),
    (0, b"FLV\x01", FileKind("Flash video", True)),
    (0, b".RMF", FileKind("RealMedia video", True)),
    (0, b"YUV4MPEG2 ", FileKind("raw video", True)),
    (0, b"DKIF", FileKind("IVF video", True)),
    (0, b"\x06\x0e\x2b\x34", FileKind("MXF video", True)),
    (0, b"\x1f\x07\x00", FileKind("DV video", True)),
    (0, b"OggS", FileKind("Ogg video or sound", True)),
    (0, b"ID3", FileKind("sound")),
    (0, b"fLaC", FileKind("sound")),
    (0, b"%!PS", FileKind("PostScript document")),
    (0, b"{\\rtf", FileKind("office document")),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileKind("office document")),
    (0, b"PAR1", FileKind("Parquet table")),
    (0, b"SQLite format 3\0", FileKind("database")),
    (0, b"\x89HDF\r\n\x1a\n", FileKind("HDF5 data")),
    (0, b"CDF\x01", FileKind("NetCDF data")),
    (0, b"MATLAB 5.0 MAT-file", FileKind("MATLAB data")),
    (0, b"\x93NUMPY", FileKind("NumPy array")),
    (0, b"Rar!\x1a\x07", FileKind("RAR archive")),
    (0, b"7z\xbc\xaf\x27\x1c", FileKind("7-Zip archive")),
    (0, b"BZh", FileKind("bzip2")),
    (0, b"\x28\xb5\x2f\xfd", FileKind("Zstandard")),
    (0, b"\x04\x22\x4d\x18", FileKind("LZ4")),
    (0, b"\x1f\x9d", FileKind("compress")),
    (0, b"LZIP", FileKind("lzip")),
    (0, b"MSCF", FileKind("cabinet archive")),
    (0, b"\x7fELF", FileKind("program")),
    (0, b"MZ", FileKind("program")),
)
BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC image"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF image"),
    **dict.fromkeys((b"M4A ", b"M4B "), "sound"),
    b"crx ": "camera image",
    b"jp2 ": "JPEG 2000 image",
}
"""Major brands of the ISO base media file format that are no MP4, MOV or 3GP."""
RIFF_FORMS = {
    b"AVI ": FileKind("AVI video", True),
    b"WEBP": FileKind("WebP image", True),
    b"WAVE": FileKind("sound"),
}
QUICKTIME_BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
EXPLICIT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT OB OF OW PN SH SL SQ SS ST TM UI UL UN US UT".split())
OFFICE_ENTRIES = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"word/", b"xl/", b"ppt/")
NETPBM = re.compile(rb"P[1-7FfZz]\s[\s\d#]")
H26X = re.compile(rb"\x00?\x00\x00\x01(?:[\x67\x27\x47\x09]|\x40\x01|\x42\x01|\x46\x01)")
"""A parameter set or access unit delimiter of H.264 (Annex B) or of H.265."""
DELIMITERS = (",", ";", "\t")
MARKUP = (("HTML page", ("<!doctype html", "<html")), ("SVG drawing", ("<svg",)), ("XML", ("<?xml",)))


def kind_of(head: bytes, depth: int = 0) -> FileKind:
    """The kind of a file.

    :param head: its first bytes; :data:`lusfx.contracts.HEAD_BYTES` of them suffice.
    :param depth: number of packings that it lies in.
    """
    if not head:
        return EMPTY
    for offset, signature, kind in SIGNATURES:
        if head.startswith(signature, offset):
            return kind
    return _packed(head, depth) or _video_or_image(head) or _headerless_dicom(head) or _text(head) or UNKNOWN


def _video_or_image(head: bytes) -> FileKind | None:
    if head[4:8] == b"ftyp":
        name = BRANDS.get(head[8:12], "MP4 or MOV video")
        return FileKind(name, name != "sound")
    if head[4:8] in QUICKTIME_BOXES:
        return FileKind("MP4 or MOV video", True)
    if head[:4] in (b"RIFF", b"RIFX"):
        return RIFF_FORMS.get(head[8:12])
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return FileKind("BMP image", True)
    if NETPBM.match(head):
        return FileKind("Netpbm image", True)
    return _stream(head)


def _stream(head: bytes) -> FileKind | None:
    if H26X.match(head):
        return FileKind("H.264 or H.265 video", True)
    for start in (0, 4):  # M2TS puts four bytes before each packet
        packet = 188 + start
        if len(head) > start + 2 * packet and all(head[start + n * packet] == 0x47 for n in range(3)):
            return FileKind("MPEG transport stream", True)
    return None


def _headerless_dicom(head: bytes) -> FileKind | None:
    """A data set that begins with group 0002 or 0008, as files had it before PS3.10 and as servers still send it."""
    if len(head) < 8:
        return None
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    for order in orders:
        group, element = (int.from_bytes(head[start : start + 2], order) for start in (0, 2))
        if group not in (2, 8) or element > 0x0100:
            continue
        length = int.from_bytes(head[4:8], order)
        if head[4:6] in EXPLICIT_VRS or length <= len(head):
            return HEADERLESS_DICOM
    return None


def _packed(head: bytes, depth: int) -> FileKind | None:
    """An archive or a compressed file, with the kind of what it holds first where that can be seen."""
    if head.startswith(b"\x1f\x8b"):
        return _holding("gzip", _inflated(head, zlib.MAX_WBITS | 16), depth)
    if head.startswith(b"\xfd7zXZ\0"):
        return _holding("xz", _without_xz(head), depth)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _zip(head, depth)
    return _holding("tar", _first_in_tar(head), depth) if _is_tar(head) else None


def _holding(packing: str, content: bytes, depth: int) -> FileKind:
    inner = kind_of(content, depth + 1) if content and depth < PACKED_WITHIN else UNKNOWN
    return FileKind(packing) if inner == UNKNOWN else FileKind(f"{packing} of {inner.name}", inner.is_picture)


def _inflated(content: bytes, window_bits: int) -> bytes:
    try:
        return zlib.decompressobj(window_bits).decompress(content, UNPACKED_BYTES)
    except zlib.error:
        return b""


def _without_xz(content: bytes) -> bytes:
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, LZMA_MEMORY).decompress(content, UNPACKED_BYTES)
    except lzma.LZMAError:
        return b""


def _zip(head: bytes, depth: int) -> FileKind:
    name = b""
    for name, content in _zip_entries(head):
        if name.startswith(OFFICE_ENTRIES) or (name == b"mimetype" and content.startswith(b"application/")):
            return FileKind("office document")
        if not name.endswith(b"/"):
            return _holding("zip", content, depth)
    return FileKind("zip")


def _zip_entries(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and beginnings of an archive's first files, as far as its first bytes go; an encrypted one has none."""
    start = 0
    while head.startswith(b"PK\x03\x04", start) and len(head) >= start + 30:
        flags, method, size, name_bytes, extra_bytes = (
            int.from_bytes(head[start + at : start + at + n], "little")
            for at, n in ((6, 2), (8, 2), (18, 4), (26, 2), (28, 2))
        )
        content = start + 30 + name_bytes + extra_bytes
        packed = b"" if flags & 1 else head[content:]
        yield head[start + 30 : start + 30 + name_bytes], _inflated(packed, -zlib.MAX_WBITS) if method == 8 else packed
        if flags & 8:  # how long it is stands behind it
            return
        start = content + size


def _is_tar(head: bytes) -> bool:
    """By the checksum of the first header, which archives before POSIX have, too."""
    if len(head) < TAR_BLOCK:
        return False
    try:
        stated = int(head[148:156].strip(b" \0") or b"-", 8)
    except ValueError:
        return False
    return stated == sum(head[:148]) + 8 * ord(" ") + sum(head[156:TAR_BLOCK])


def _first_in_tar(head: bytes) -> bytes:
    """The beginning of the first file, as far as it is in sight behind folders and headers of headers."""
    start = 0
    while _is_tar(head[start : start + TAR_BLOCK]):
        header = head[start : start + TAR_BLOCK]
        start += TAR_BLOCK
        if header[156:157] in (b"0", b"\0", b"7"):
            return head[start:]
        try:
            size = int(header[124:136].strip(b" \0") or b"0", 8)
        except ValueError:
            return b""
        start += -(-size // TAR_BLOCK) * TAR_BLOCK
    return b""


def _text(head: bytes) -> FileKind | None:
    if b"%PDF-" in head[:1024]:
        return FileKind("PDF document")
    text = _decoded(head)
    if text is None:
        return None
    beginning = text.lstrip("\ufeff \t\r\n")
    lower = beginning[:2000].lower()
    for name, marks in MARKUP:
        if lower.startswith(marks) or (name != "XML" and lower.startswith("<?xml") and any(m in lower for m in marks)):
            return FileKind(name)
    if re.match(r'\{\s*("|\})|\[\s*[\[{"\d\]-]', beginning):
        return FileKind("JSON")
    lines = [line for line in text.splitlines()[:6] if line]
    if any(
        len({line.count(mark) for line in lines}) == 1 and mark in lines[0] for mark in DELIMITERS if len(lines) > 1
    ):
        return FileKind("text table")
    return FileKind("text")


def _decoded(head: bytes) -> str | None:
    """The text, where it is one: UTF-16 with its mark, UTF-8, an older code page; None where control characters are in it."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[: len(head) // 2 * 2].decode("utf-16", "replace")
    if any(byte < 32 and byte not in b"\t\n\r\f\x1a\x1b" for byte in head):
        return None
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start >= len(head) - 3:  # cut within a character
            return head[: error.start].decode("utf-8")
    n_high = sum(byte >= 128 for byte in head)
    return head.decode("latin-1") if n_high < len(head) / 4 else None
