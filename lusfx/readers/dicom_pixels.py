"""Frames of DICOM pixel data as grey images, one at a time, without reading the rest (PS3.5 8.2, A.4; PS3.3 C.7.6.3).

On damaged files pydicom and the codecs below it raise whatever they meet, their own classes among it; so here, and in
:mod:`lusfx.readers.dicom`, every exception of theirs is caught where it arises, and only its type is kept.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import SkippedClipError, UnreadableClipError
from lusfx.readers.dicom_codecs import CODECS, COLOUR_SPACES_WITH_LUMA, JPEG_BASELINE, RLE, FrameFacts, luma
from lusfx.readers.files import quiet
from lusfx.types import GreyImage

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.pixels.decoders.base import Decoder

PIXEL_DATA = (0x7FE0, 0x0010)
UNDEFINED_LENGTH = 0xFFFFFFFF
DEFLATED = "1.2.840.10008.1.2.1.99"
PLUGINS = {
    JPEG_BASELINE: "pillow",
    "1.2.840.10008.1.2.4.51": "gdcm",  # JPEG Extended
    "1.2.840.10008.1.2.4.57": "gdcm",  # JPEG Lossless
    "1.2.840.10008.1.2.4.70": "gdcm",  # JPEG Lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": "pyjpegls",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.81": "pyjpegls",  # JPEG-LS Near-Lossless
    "1.2.840.10008.1.2.4.90": "pylibjpeg",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.91": "pylibjpeg",  # JPEG 2000
    "1.2.840.10008.1.2.4.201": "pylibjpeg",  # High-Throughput JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.202": "pylibjpeg",  # the same with RPCL
    "1.2.840.10008.1.2.4.203": "pylibjpeg",  # High-Throughput JPEG 2000
    RLE: "pylibjpeg",  # pydicom's own decoder of it is written in Python and fifteen times slower
}
"""Which codec decodes which transfer syntax: one each, so that a file gives the same pixels wherever it is read."""
END_OF_CODESTREAM = b"\xff\xd9"
RGB_WHEN_DECODED = frozenset({"RGB", "YBR_ICT", "YBR_RCT"})
"""The last two are colour transforms inside JPEG 2000, which its decoder undoes (PS3.3 C.7.6.3.1.2)."""
PHOTOMETRICS = {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"} | COLOUR_SPACES_WITH_LUMA | RGB_WHEN_DECODED


@dataclass(frozen=True, slots=True)
class PixelData:
    """Pixel data that was found but not read.

    :param stream: positioned anywhere; ``start`` is where the value begins.
    :param length: bytes of the value; None where it is encapsulated.
    """

    stream: IO[bytes]
    start: int
    length: int | None
    dataset: Dataset

    @classmethod
    def find(cls, stream: IO[bytes], dataset: Dataset) -> PixelData:
        """Find the value where reading the header stopped.

        :raises SkippedClipError: if the file has no pixel data.
        """
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax == DEFLATED:
            return cls._inflated(stream, dataset)
        order = "<" if syntax.is_little_endian else ">"
        head = stream.read(12)
        if len(head) < 8 or struct.unpack(f"{order}HH", head[:4]) != PIXEL_DATA:
            raise SkippedClipError("no-pixel-data", "the DICOM file holds no image")
        implicit = syntax.is_implicit_VR
        (length,) = struct.unpack(f"{order}L", head[4:8] if implicit else head[8:12].ljust(4, b"\0"))
        start = stream.tell() - len(head) + (8 if implicit else 12)
        return cls(stream, start, None if length == UNDEFINED_LENGTH else length, dataset)

    @classmethod
    def _inflated(cls, stream: IO[bytes], dataset: Dataset) -> PixelData:
        """A deflated file has no pixel data to seek to: it is inflated whole."""
        from pydicom import dcmread

        stream.seek(0)
        value = dcmread(stream).get("PixelData")
        if value is None:
            raise SkippedClipError("no-pixel-data", "the DICOM file holds no image")
        return cls(io.BytesIO(value), 0, len(value), dataset)

    def grey_frames(self) -> Iterator[GreyImage | None]:
        """Every frame as a grey image; None for one that cannot be decoded.

        :raises UnreadableClipError: if the pixel format or the transfer syntax is not one that is read here.
        """
        decode = _FrameDecoder(self.dataset)
        frames = self._native_frames(decode.options) if decode.is_native else self._encoded_frames()
        for frame in frames:
            yield decode(frame)

    def video_payload(self) -> io.BytesIO:
        """The video stream that all fragments together are (PS3.5 8.2.5 to 8.2.8)."""
        from pydicom.encaps import generate_fragments, parse_basic_offsets

        self.stream.seek(self.start)
        try:
            parse_basic_offsets(self.stream)
            return io.BytesIO(b"".join(generate_fragments(self.stream)))
        except Exception as error:
            raise UnreadableClipError("damaged", f"the video payload is damaged ({type(error).__name__})") from None

    def _native_frames(self, options: dict[str, Any]) -> Iterator[bytes]:
        """Frames of uncompressed data, each read when it is asked for."""
        samples = 2 if options["photometric_interpretation"] == "YBR_FULL_422" else options["samples_per_pixel"]
        n_bytes = options["rows"] * options["columns"] * samples * options["bits_allocated"] // 8
        n_frames = (self.length or 0) // n_bytes
        self.stream.seek(self.start)
        for _ in range(min(n_frames, options["number_of_frames"])):
            frame = self.stream.read(n_bytes)
            if len(frame) < n_bytes:  # the file ends before its declared length
                return
            yield frame

    def _encoded_frames(self) -> Iterator[bytes]:
        """Compressed frames, by the offset table where there is one, else by counting fragments."""
        from pydicom.encaps import generate_fragments, generate_frames, parse_basic_offsets

        n_declared = _declared_frames(self.dataset)
        tables = tuple(self.dataset.get(name) for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"))
        offsets = tables if all(isinstance(table, bytes) for table in tables) else None
        self.stream.seek(self.start)
        n_given = 0
        try:
            for frame in generate_frames(self.stream, number_of_frames=n_declared, extended_offsets=offsets):
                yield frame
                n_given += 1
        except Exception:
            if n_given:
                return
        else:
            return
        # The declared number of frames fits neither the offset table nor the fragments: take one fragment for a frame.
        self.stream.seek(self.start)
        try:
            parse_basic_offsets(self.stream)
            yield from generate_fragments(self.stream)
        except Exception:
            return


class _FrameDecoder:
    """Decodes single frames of one file."""

    def __init__(self, dataset: Dataset) -> None:
        from pydicom.pixels import get_decoder
        from pydicom.pixels.utils import as_pixel_options

        self.syntax = dataset.file_meta.TransferSyntaxUID
        try:
            with quiet():
                self._decoder: Decoder = get_decoder(self.syntax)
                self.options: dict[str, Any] = as_pixel_options(dataset)
        except NotImplementedError:
            raise UnreadableClipError(
                "unsupported-transfer-syntax", "the DICOM file is compressed in a way that is not read here"
            ) from None
        except Exception as error:
            raise UnreadableClipError("damaged", f"the pixel description is damaged ({type(error).__name__})") from None
        self.is_native = not self.syntax.is_encapsulated
        self._check_options()
        self._palette = _grey_palette(dataset) if self._photometric == "PALETTE COLOR" else None
        facts = FrameFacts.of(self.options)
        codec = CODECS.get(str(self.syntax))
        self._codec = None if facts is None or codec is None else codec(facts)
        self._whole_anyway = self.is_native or str(self.syntax) == RLE
        self._codec_is_proved = False

    @property
    def _photometric(self) -> str:
        return str(self.options["photometric_interpretation"])

    def _check_options(self) -> None:
        options = self.options
        options["number_of_frames"] = max(int(options["number_of_frames"]), 1)
        known = {"rows", "columns", "samples_per_pixel", "bits_allocated", "bits_stored", "photometric_interpretation"}
        if not known <= options.keys():
            raise UnreadableClipError("damaged", "the DICOM file does not describe its pixels")
        if options["bits_allocated"] not in (8, 16) or options.get("pixel_representation", 0) != 0:
            raise UnreadableClipError(
                "unsupported-pixel-format", "the DICOM file's samples are not unsigned with 8 or 16 bits"
            )
        if self._photometric not in PHOTOMETRICS:
            raise UnreadableClipError("unsupported-pixel-format", "the DICOM file's colour space is not read here")
        if not 1 <= options["bits_stored"] <= options["bits_allocated"] or options["samples_per_pixel"] not in (1, 3):
            raise UnreadableClipError("damaged", "the DICOM file's description of its pixels contradicts itself")

    def __call__(self, frame: bytes) -> GreyImage | None:
        """Grey image of a frame; None if it cannot be decoded.

        pydicom decodes the first frame, and what it refuses stays refused. Where the codec asked directly gives the same
        image, it is asked for the others.
        """
        if not (self._whole_anyway or _is_whole(frame)):
            return None
        if self._codec_is_proved and (directly := self._directly(frame)) is not None:
            return directly
        grey = self._by_pydicom(frame)
        if grey is not None and self._codec is not None and self.options["number_of_frames"] > 1:
            directly = self._directly(frame)
            self._codec_is_proved = directly is not None and np.array_equal(directly, grey)
            if not self._codec_is_proved:
                self._codec = None
        return grey

    def _directly(self, frame: bytes) -> GreyImage | None:
        """What the codec makes of a frame; None where it is not of the plainest kind, or damaged."""
        assert self._codec is not None
        try:
            return self._codec(frame)
        except Exception:
            return None

    def _by_pydicom(self, frame: bytes) -> GreyImage | None:
        from pydicom.encaps import encapsulate

        options = self.options | {"number_of_frames": 1, "pixel_keyword": "PixelData", "pixel_vr": "OW"}
        options.pop("extended_offsets", None)
        try:
            with quiet():
                source = frame if self.is_native else encapsulate([frame], has_bot=False)
                array, properties = self._decoder.as_array(
                    source, raw=True, index=0, decoding_plugin=PLUGINS.get(str(self.syntax), ""), **options
                )
                grey = self._grey(array, str(properties["photometric_interpretation"]), int(properties["bits_stored"]))
        except Exception:
            return None
        # A colour space that the samples do not have leaves another shape than that of an image.
        return grey if grey.shape == (self.options["rows"], self.options["columns"]) else None

    def _grey(self, array: NDArray[np.uint8 | np.uint16], photometric: str, bits_stored: int) -> GreyImage:
        """Luma of a decoded frame, 8 bits.

        Stored values are scaled by their full range. No VOI window is applied: ultrasound grey levels are display values
        already, and a window set for viewing would make the same tissue look different to an encoder.
        """
        if self._palette is not None:
            return np.take(self._palette, array, mode="clip")
        values = _eight_bits(array, bits_stored)
        if photometric == "MONOCHROME1":
            return 255 - values
        if photometric == "MONOCHROME2":
            return values
        if photometric in COLOUR_SPACES_WITH_LUMA:
            return np.ascontiguousarray(values[..., 0])
        return luma(values)


def _is_whole(frame: bytes) -> bool:
    """Whether a compressed frame has its end: decoders accept half a JPEG and make up the rest.

    Frames are padded to even length, by the standard with a zero, by some machines with 0xFF.
    """
    return frame.endswith(END_OF_CODESTREAM) or frame.rstrip(b"\x00\xff").endswith(END_OF_CODESTREAM)


def _eight_bits(array: NDArray[np.uint8 | np.uint16], bits_stored: int) -> NDArray[np.uint8]:
    """Samples scaled so that the largest storable value is white."""
    if bits_stored > 8:
        return (array >> (bits_stored - 8)).astype(np.uint8)
    if bits_stored < 8:
        return (array.astype(np.uint16) * 255 // ((1 << bits_stored) - 1)).astype(np.uint8)
    return array.astype(np.uint8, copy=False)


def _grey_palette(dataset: Dataset) -> GreyImage:
    """Luma of each palette index."""
    from pydicom.pixels import apply_color_lut

    try:
        with quiet():
            n_entries = int(dataset.RedPaletteColorLookupTableDescriptor[0]) or 1 << 16
            first = int(dataset.RedPaletteColorLookupTableDescriptor[1])
            bits = int(dataset.RedPaletteColorLookupTableDescriptor[2])
            colours = apply_color_lut(np.arange(first + n_entries, dtype=np.uint16), dataset)
    except Exception as error:
        raise UnreadableClipError("damaged", f"the colour palette is damaged ({type(error).__name__})") from None
    if bits == 16 and int(colours.max()) > 255:
        colours = colours >> 8
    return luma(colours.astype(np.uint8))


def _declared_frames(dataset: Dataset) -> int:
    try:
        return max(int(dataset.get("NumberOfFrames") or 1), 1)
    except (TypeError, ValueError):
        return 1
