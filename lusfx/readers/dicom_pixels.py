"""Pixel data of a DICOM file: where it is, what it really is, and its frames as grey images, one at a time (PS3.5 8, A)."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import ClipError, SkippedClipError, UnreadableClipError
from lusfx.readers.dicom_codestreams import begins_codestream
from lusfx.readers.dicom_decoding import PLUGINS, EncodedPixels
from lusfx.readers.dicom_depths import depth_of
from lusfx.readers.dicom_description import GREYS, PALETTE, PixelDescription
from lusfx.readers.dicom_fragments import EncodedFrames
from lusfx.readers.dicom_kinds import is_ultrasound
from lusfx.readers.dicom_layouts import SMOOTHER, unevenness
from lusfx.readers.dicom_native import NativePixels
from lusfx.readers.dicom_palettes import palette_of, supplemental_palette_of
from lusfx.readers.dicom_polarity import polarity_of
from lusfx.readers.dicom_shades import Shades, colour_family
from lusfx.readers.dicom_values import PIXEL_DATA, UNDEFINED_LENGTH, is_cut
from lusfx.readers.files import quiet
from lusfx.types import GreyImage, Note

if TYPE_CHECKING:
    from pydicom import Dataset

FLOAT_PIXEL_DATA = {(0x7FE0, 0x0008), (0x7FE0, 0x0009)}
LONG_VRS = {b"OB", b"OW", b"UN", b"OF", b"OD", b"OL", b"OV"}
ITEM_TAG = bytes((0xFE, 0xFF, 0x00, 0xE0))
EXPLICIT_LITTLE_ENDIAN, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"


@dataclass(frozen=True, slots=True)
class PixelData:
    """Pixel data that was found but not read.

    :param stream: positioned anywhere; ``start`` is where the value begins.
    :param length: bytes of the value; None where it is encapsulated.
    :param vr: value representation; "" where the element has none.
    """

    stream: IO[bytes]
    start: int
    length: int | None
    dataset: Dataset
    vr: str = ""

    @classmethod
    def find(cls, stream: IO[bytes], dataset: Dataset) -> PixelData:
        """Find the value where reading the header stopped.

        The element is read as it was written: some writers state another encoding than that of their elements.

        :raises SkippedClipError: if the file has no pixel data.
        """
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax == DEFLATED:
            return cls._inflated(stream, dataset)
        order = "<" if syntax.is_little_endian else ">"
        head = stream.read(12)
        tag = struct.unpack(f"{order}HH", head[:4]) if len(head) >= 8 else None
        if tag in FLOAT_PIXEL_DATA:
            raise UnreadableClipError("unsupported-pixel-format", "the DICOM file's samples are floating-point numbers")
        if tag != PIXEL_DATA:
            if is_ultrasound(dataset) and is_cut(dataset, stream.seek(0, 2)):
                raise UnreadableClipError("damaged", "the DICOM file is cut within its header")
            raise SkippedClipError("no-pixel-data", "the DICOM file holds no image")
        # As an implicit length, these letters and zeros would be an odd number, which no length is.
        is_explicit = head[4:6] in LONG_VRS and head[6:8] == b"\0\0"
        (length,) = struct.unpack(f"{order}L", head[8:12].ljust(4, b"\0") if is_explicit else head[4:8])
        start = stream.tell() - len(head) + (12 if is_explicit else 8)
        vr = head[4:6].decode() if is_explicit else ""
        return cls(stream, start, None if length == UNDEFINED_LENGTH else length, dataset, vr)

    @classmethod
    def _inflated(cls, stream: IO[bytes], dataset: Dataset) -> PixelData:
        """A deflated file has no pixel data to seek to: it is inflated whole."""
        from pydicom import dcmread

        stream.seek(0)
        value = dcmread(stream).get("PixelData")
        if value is None:
            raise SkippedClipError("no-pixel-data", "the DICOM file holds no image")
        return cls(io.BytesIO(value), 0, len(value), dataset)

    def pixels(self) -> DicomPixels:
        """The frames, as what they really are.

        :raises UnreadableClipError: if the pixel format or the transfer syntax is not one that is read here
            (``unsupported-pixel-format``, ``unsupported-transfer-syntax``), or the header contradicts itself (``damaged``)
            or the pixels (``pixels-contradict-header``).
        """
        try:
            return DicomPixels(self)
        except ClipError:
            raise
        except Exception as error:
            raise UnreadableClipError(
                "damaged", f"the pixel data cannot be described ({type(error).__name__})"
            ) from None

    def video_payload(self) -> io.BytesIO:
        """The video stream that all fragments together are (PS3.5 8.2.5 to 8.2.8), or the value of a writer that makes none."""
        from pydicom.encaps import generate_fragments, parse_basic_offsets

        self.stream.seek(self.start)
        if self.length is not None:
            return io.BytesIO(self.stream.read(self.length))
        try:
            parse_basic_offsets(self.stream)
            return io.BytesIO(b"".join(generate_fragments(self.stream)))
        except Exception as error:
            raise UnreadableClipError("damaged", f"the video payload is damaged ({type(error).__name__})") from None


class DicomPixels:
    """Frames of a clip that are images, compressed or not.

    :ivar notes: what there is to tell of them, complete once :meth:`grey_frames` is exhausted.
    """

    def __init__(self, value: PixelData) -> None:
        self._dataset = value.dataset
        self._syntax = value.dataset.file_meta.TransferSyntaxUID
        with quiet():
            self._described = PixelDescription.of(value.dataset)
            self._completed = self._described.completed()
            self._source = self._source_of(value)
        self.notes: set[Note] = set()
        if self._is_corrected:
            self.notes.add(Note.DESCRIPTION_CORRECTED)

    @property
    def height(self) -> int:
        return self._source.description.rows

    @property
    def width(self) -> int:
        return self._source.description.columns

    @property
    def n_frames(self) -> int:
        """Frames that there are, decodable or not."""
        return len(self._source)

    def grey_frames(self) -> Iterator[GreyImage | None]:
        """Every frame as a grey image; None for one that cannot be decoded.

        :raises UnreadableClipError: if samples are below 0 (``unsupported-pixel-format``), or a palette is ``damaged``.
        """
        try:
            with quiet():
                shades = self._shades()
        except ClipError:
            raise
        except Exception as error:
            raise UnreadableClipError("damaged", f"the pixels cannot be looked at ({type(error).__name__})") from None
        source = self._source
        frames = source.grey_frames(shades) if isinstance(source, EncodedPixels) else map(shades, source)
        yield from frames

    def _source_of(self, value: PixelData) -> EncodedPixels | NativePixels:
        """Compressed frames are in fragments of an element without a length; some writers leave out the one or the other."""
        if value.length is None:
            return self._encoded(value)
        if self._syntax.is_encapsulated:
            value.stream.seek(value.start)
            head = value.stream.read(len(ITEM_TAG))
            if head == ITEM_TAG:
                return self._encoded(value)
            if begins_codestream(head):
                frames = EncodedFrames.without_fragments(value.stream, value.start, value.length)
                return EncodedPixels(frames, self._described, self._completed, str(self._syntax))
        return self._native(value, value.length)

    def _encoded(self, value: PixelData) -> EncodedPixels:
        table = self._dataset.get("ExtendedOffsetTable")
        frames = EncodedFrames.find(
            value.stream, value.start, self._described.n_frames or 1, table if isinstance(table, bytes) else None
        )
        return EncodedPixels(frames, self._described, self._completed, str(self._syntax))

    def _native(self, value: PixelData, length: int) -> NativePixels:
        if self._syntax.is_encapsulated and str(self._syntax) not in PLUGINS:
            raise UnreadableClipError(
                "unsupported-transfer-syntax", "the DICOM file is compressed in a way that is not read here"
            )
        return NativePixels(
            value.stream,
            value.start,
            length,
            self._completed,
            big_endian=not self._syntax.is_little_endian,
            in_words=value.vr != "OB",
        )

    @property
    def _is_corrected(self) -> bool:
        """Whether frames are read as other than the header says: in size, in samples, in bits, in how they lie."""
        source, described = self._source, self._described
        if isinstance(source, NativePixels):
            is_completed = self._completed != self._described
            return not source.layout.is_described or self._syntax.is_encapsulated or is_completed
        about = source.description
        return (
            (about.rows, about.columns, about.samples) != (described.rows, described.columns, described.samples)
            or source.syntax != str(self._syntax)
            or 0 < source.limit < described.bits_stored
        )

    def _shades(self) -> Shades:
        """How the samples become grey: by the header, and by the samples where it does not say, or errs."""
        if self._source.description.is_signed:
            self._check_signs()
        source, described = self._source, self._described
        about = source.description
        big_endian = not self._syntax.is_little_endian
        if about.photometric == PALETTE:
            return Shades(PALETTE, 8, palette_of(self._dataset, about.bits_allocated, big_endian=big_endian))
        palette = None
        if about.samples == 1 and about.photometric == "MONOCHROME2":
            palette = supplemental_palette_of(self._dataset, about.bits_allocated, big_endian=big_endian)
        if palette is not None:
            return Shades("MONOCHROME2", 8, palette)
        limit = source.limit if isinstance(source, EncodedPixels) else about.bits_allocated
        stated = replace(described, is_signed=about.is_signed) if isinstance(source, EncodedPixels) else about
        depth, notes = depth_of(stated, limit, self._dataset, self._largest)
        self.notes |= notes
        photometric = colour_family(about) or about.photometric
        if photometric in GREYS:
            photometric, is_corrected = polarity_of(self._dataset, photometric, lambda: self._edge(depth))
            if is_corrected:
                self.notes.add(Note.DESCRIPTION_CORRECTED)
        shades = Shades(photometric, depth, mask=(1 << depth) - 1 if depth < limit else None)
        if about.samples == 3:
            self._look_at_colours(shades)
        return shades

    def _look_at_colours(self, shades: Shades) -> None:
        """Take the first frame's word for its colours, unless the codestream's is to be had; the header's counts least."""
        source = self._source
        stated = source.stated_colour if isinstance(source, EncodedPixels) else None
        is_certain = isinstance(source, EncodedPixels) and source.is_colour_certain
        if not is_certain and (first := next(iter(source.some()), None)) is not None:
            shades.look_at_colours(first)
        if shades.photometric != (stated or colour_family(self._completed)):
            self.notes.add(Note.COLOUR_SPACE_CORRECTED)

    def _largest(self, of_all: bool) -> int:
        """The greatest sample of all frames, or of some."""
        frames = iter(self._source) if of_all else self._source.some()
        return max((int(samples.max()) for samples in frames), default=0)

    def _edge(self, depth: int) -> NDArray[np.float64]:
        """The outermost samples of the first frame that can be decoded, as shares of the greatest value."""
        first = next(iter(self._source.some()), None)
        if first is None:
            return np.zeros(1)
        edge = np.concatenate([first[0], first[-1], first[:, 0], first[:, -1]])
        return edge.astype(np.float64) / ((1 << depth) - 1)

    def _check_signs(self) -> None:
        """Samples below 0 are none, if without their sign they make a picture and with it they do not."""
        self.notes.add(Note.DESCRIPTION_CORRECTED)
        source = self._source
        for samples in source.some():
            if int(samples.min()) >= 0:
                continue
            plane = samples if samples.ndim == 2 else samples[..., 0]
            unsigned = plane.view(f"u{plane.itemsize}")
            if not isinstance(source, NativePixels) or unevenness(unsigned) >= SMOOTHER * unevenness(plane):
                raise UnreadableClipError("unsupported-pixel-format", "the DICOM file's samples are below 0")
            self._source = source.as_unsigned()
            return
