"""Finds and reads the header of a DICOM file (PS3.10 7.1), also of one that lacks what should stand before it."""

from __future__ import annotations

import io
import struct
from typing import IO, TYPE_CHECKING

from lusfx.contracts import HEAD_BYTES
from lusfx.errors import ClipError, SkippedClipError, UnreadableClipError
from lusfx.readers.dicom_kinds import check_kind
from lusfx.readers.dicom_pixels import PixelData
from lusfx.readers.dicom_syntaxes import is_readable, settled_syntax
from lusfx.readers.dicom_values import whole_number
from lusfx.readers.files import quiet

if TYPE_CHECKING:
    from pydicom import Dataset

PREAMBLE = bytes(128)
MAGIC = b"DICM"
FIRST_TAGS = {
    0x0002: frozenset({0x0000, 0x0001, 0x0002, 0x0010}),
    0x0008: frozenset({0x0000, 0x0001, 0x0005, 0x0006, 0x0008, 0x0012, 0x0013, 0x0014, 0x0016, 0x0018, 0x0020}),
}
"""What a data set begins with, file header or not."""
NUMERIC_TAGS = frozenset({0x0000, 0x0001})
"""Of those, the ones whose value is no text: lengths and a version."""
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
"""Types whose length is written in two bytes (PS3.5 7.1.2)."""
LONG_VRS = frozenset({b"OB", b"SQ", b"UN"})
"""Of the others, those that stand near the beginning of a data set."""
FIRST_GROUPS = frozenset({0x0002, 0x0008, 0x0010})
N_PROVED_ELEMENTS = 3
LONGEST_FIRST_VALUE = 1024
PIXEL_DATA_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
DESCRIPTION = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
"""Whole numbers that are put right in place, for all who read them after."""


def begins_as_dicom(leading_bytes: bytes) -> bool:
    """Whether a file begins as DICOM does, with its preamble or without, with its header or without."""
    return _start(leading_bytes) is not None


def read_header(stream: IO[bytes]) -> tuple[Dataset, PixelData]:
    """Read the header, and find the pixel data without reading it.

    :returns: a header of ultrasound, that states the transfer syntax that the file is in.
    :raises SkippedClipError: if the file is sound but no ultrasound cine or image.
    """
    leading_bytes = stream.read(HEAD_BYTES)
    start = _start(leading_bytes)
    if start is None:
        raise UnreadableClipError("not-dicom", "the file does not begin as a DICOM file does")
    is_bare = leading_bytes[start : start + 2] in (b"\x08\x00", b"\x00\x08")
    if start not in (0 if is_bare else None, len(PREAMBLE) + len(MAGIC)):  # pydicom knows these two
        stream.seek(start)
        stream = io.BytesIO(PREAMBLE + MAGIC + stream.read())
    stream.seek(0)
    dataset, stated = _parse(stream, is_bare)
    try:
        with quiet():
            syntax = settled_syntax(stream, dataset, stated)
            if not (syntax and is_readable(syntax)):
                _refuse(stream, dataset)
            dataset.file_meta.TransferSyntaxUID = syntax
            pixel_data = PixelData.find(stream, dataset)
            check_kind(dataset)
            _put_description_right(dataset)
    except ClipError:
        raise
    except Exception as error:
        raise UnreadableClipError("damaged", f"the pixel data cannot be found ({type(error).__name__})") from None
    return dataset, pixel_data


def _parse(stream: IO[bytes], is_bare: bool) -> tuple[Dataset, str]:
    """The header, and the transfer syntax that it states."""
    from pydicom import dcmread
    from pydicom.filereader import read_partial

    try:
        with quiet():
            dataset = dcmread(stream, stop_before_pixels=True, force=is_bare)
            return dataset, str(dataset.file_meta.get("TransferSyntaxUID") or "").strip()
    except Exception as error:
        damaged = UnreadableClipError("damaged", f"the DICOM header cannot be read ({type(error).__name__})")
    try:
        stream.seek(0)
        with quiet():
            file_header = read_partial(stream, stop_when=lambda *_: True, force=is_bare)
            stated = str(file_header.file_meta.get("TransferSyntaxUID") or "").strip()
    except Exception:
        raise damaged from None
    raise damaged if not stated or is_readable(stated) else _unsupported()


def _refuse(stream: IO[bytes], dataset: Dataset) -> None:
    """Say the most exact thing of a file whose pixel data nobody can read."""
    has_pixels = stream.read(4) in PIXEL_DATA_TAGS or "PixelDataProviderURL" in dataset
    if not has_pixels:
        if not len(dataset) and "TransferSyntaxUID" not in dataset.file_meta:
            raise UnreadableClipError("damaged", "the DICOM file is cut within its header")
        raise SkippedClipError("no-pixel-data", "the DICOM file holds no image")
    check_kind(dataset)
    raise _unsupported()


def _unsupported() -> UnreadableClipError:
    return UnreadableClipError(
        "unsupported-transfer-syntax", "the DICOM file is encoded or compressed in a way that is not read here"
    )


def _put_description_right(dataset: Dataset) -> None:
    """Give each number one value, and take away what is no number: what pixels there are is then left to tell."""
    from pydicom import DataElement
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    for keyword in DESCRIPTION:
        tag = tag_for_keyword(keyword)
        if tag is None or tag not in dataset:
            continue
        value = whole_number(dataset, keyword)
        if value is not None and 0 <= value < 1 << 31:
            dataset[tag] = DataElement(tag, dictionary_VR(tag), value)
        else:
            del dataset[tag]


def _start(leading_bytes: bytes) -> int | None:
    """Where the file header begins, or the data set where there is no file header; None where neither does."""
    for start in (len(PREAMBLE), 0):
        if leading_bytes[start : start + len(MAGIC)] == MAGIC:
            return start + len(MAGIC)
    for start in (0, len(PREAMBLE)):
        if start == 0 or leading_bytes.startswith(PREAMBLE):
            content = leading_bytes[start:]
            if any(_holds_elements(content, *form) for form in (("<", True), ("<", False), (">", True))):
                return start
    return None


def _holds_elements(content: bytes, order: str, explicit: bool) -> bool:
    """Whether bytes are the first elements of a data set: tags that rise, types and lengths that can be, text in them.

    :param order: of bytes, as :mod:`struct` names it.
    """
    place, last, n_texts = 0, (0, 0), 0
    for number in range(N_PROVED_ELEMENTS):
        head = _element_head(content[place : place + 12], order, explicit)
        if head is None:
            return False
        group, element, vr, head_length, length = head
        can_be_first = element in FIRST_TAGS.get(group, ())
        if (group, element) <= last or group not in FIRST_GROUPS or not (number or can_be_first):
            return False
        value = content[place + head_length : place + head_length + length]
        if length > LONGEST_FIRST_VALUE or len(value) < length:
            return False
        if element not in NUMERIC_TAGS and vr not in LONG_VRS:
            if any(byte < 0x20 and byte not in b"\0\x1b" for byte in value):
                return False
            n_texts += bool(value.strip(b"\0 "))
        place, last = place + head_length + length, (group, element)
    return n_texts > 0


def _element_head(content: bytes, order: str, explicit: bool) -> tuple[int, int, bytes, int, int] | None:
    """Group, element, type, and the lengths of head and value; None where an element cannot begin so (PS3.5 7.1)."""
    if len(content) < 12:
        return None
    group, element = struct.unpack_from(f"{order}HH", content)
    if not explicit:
        return group, element, b"", 8, struct.unpack_from(f"{order}L", content, 4)[0]
    vr = content[4:6]
    if vr in SHORT_VRS:
        return group, element, vr, 8, struct.unpack_from(f"{order}H", content, 6)[0]
    return (group, element, vr, 12, struct.unpack_from(f"{order}L", content, 8)[0]) if vr in LONG_VRS else None
