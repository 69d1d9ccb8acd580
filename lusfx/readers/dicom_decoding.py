"""Compressed frames of a DICOM file, decoded as their codestreams say (PS3.5 8.2 and A.4).

Header and codestream are compared before a codec is asked: GDCM ends the process where they disagree. On damaged frames pydicom
and the codecs below it raise whatever they meet, their own classes among it; so every exception of theirs is caught where it
arises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lusfx.errors import UnreadableClipError
from lusfx.readers.dicom_codecs import CODECS, JPEG_BASELINE, JPEG_LS_LOSSLESS, JPEG_LS_NEAR_LOSSLESS, RLE, FrameFacts
from lusfx.readers.dicom_codestreams import (
    END_OF_CODESTREAM,
    Codestream,
    Kind,
    codestream_of,
    end_of,
    is_whole,
    tile_parts_end,
    trimmed,
)
from lusfx.readers.dicom_description import GREYS, PALETTE, PixelDescription
from lusfx.readers.dicom_fragments import EncodedFrames
from lusfx.readers.dicom_layouts import Samples
from lusfx.readers.dicom_run_lengths import by_run_lengths, without_trailer
from lusfx.readers.dicom_shades import Shades, colour_family
from lusfx.readers.files import quiet
from lusfx.types import GreyImage

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import Decoder

JPEG_EXTENDED, JPEG_LOSSLESS, JPEG_LOSSLESS_SV1 = (f"1.2.840.10008.1.2.4.{k}" for k in (51, 57, 70))
JPEG_2000_LOSSLESS, JPEG_2000 = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
HTJ2K = tuple(f"1.2.840.10008.1.2.4.{k}" for k in (201, 202, 203))
SYNTAXES = {
    Kind.JPEG: (JPEG_BASELINE, JPEG_EXTENDED),
    Kind.JPEG_LOSSLESS: (JPEG_LOSSLESS, JPEG_LOSSLESS_SV1),
    Kind.JPEG_LS: (JPEG_LS_LOSSLESS, JPEG_LS_NEAR_LOSSLESS),
    Kind.JPEG_2000: (JPEG_2000, JPEG_2000_LOSSLESS, *HTJ2K),
}
"""Transfer syntaxes whose frames are of each kind; the first is that of a frame under another's name."""
PLUGINS = {
    JPEG_BASELINE: "pillow",
    JPEG_EXTENDED: "gdcm",
    JPEG_LOSSLESS: "gdcm",
    JPEG_LOSSLESS_SV1: "gdcm",
    JPEG_LS_LOSSLESS: "pyjpegls",
    JPEG_LS_NEAR_LOSSLESS: "pyjpegls",
    **dict.fromkeys(SYNTAXES[Kind.JPEG_2000], "pylibjpeg"),
    RLE: "pylibjpeg",  # pydicom's own decoder of it is written in Python and fifteen times slower
}
"""Which codec decodes which transfer syntax: one each, so that a file gives the same pixels wherever it is read."""
ADOBE_RGB = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
"""Tells libjpeg to leave colours alone; pydicom asks it for YCbCr without, which it refuses where names say RGB."""
N_SAMPLED, N_FIRST = 8, 8
MOST_ZEROS = 16
CONTINUATIONS = (b"\0" * 64, b"\x55" * 64)
"""What may be thought to follow a frame without an end. A frame that is complete looks the same with each."""


class EncodedPixels:
    """Compressed frames.

    :param completed: what is described, without the gaps that a codestream would fill.
    :raises UnreadableClipError: ``unsupported-transfer-syntax``, ``unsupported-pixel-format`` or ``damaged``.
    """

    def __init__(
        self, frames: EncodedFrames, described: PixelDescription, completed: PixelDescription, syntax: str
    ) -> None:
        self._frames = frames
        self._looked_at: tuple[bytes, Samples | None] = (b"", None)
        self._stream = _first_codestream(frames)
        self.syntax = _syntax_of(self._stream, syntax)
        self._decoder = _decoder_of(self.syntax)
        if self._stream is not None:
            self.description, self.limit = _by_codestream(self._stream, described, self.syntax)
        else:
            first = next(iter(frames), b"") if self.syntax == RLE else b""
            corrected = by_run_lengths(first, completed)
            corrected.check()
            self.limit = corrected.bits_allocated
            # pydicom would hide the bits above the stored ones.
            self.description = replace(corrected, bits_stored=self.limit)
        has_word = self._stream is not None and self._stream.colour is not None
        self.stated_colour = self.description.photometric if has_word else None
        """Of three components, what the codestream says that they are."""
        self.is_colour_certain = (
            self.stated_colour is not None and self._stream is not None and self._stream.kind is Kind.JPEG
        )

    def __len__(self) -> int:
        return len(self._frames)

    def some(self) -> Iterator[Samples]:
        """Frames from all over the clip, the first one first, which is decoded once where it is read next."""
        for frame in self._frames.some(N_SAMPLED):
            if (samples := self._samples(frame)) is not None:
                self._looked_at = (frame, samples)
                yield samples

    def __iter__(self) -> Iterator[Samples]:
        yield from (samples for frame in self._frames if (samples := self._samples(frame)) is not None)

    def grey_frames(self, shades: Shades) -> Iterator[GreyImage | None]:
        """Every frame, None for one that cannot be decoded.

        pydicom decodes the first frame, and what it refuses stays refused. Where the codec asked directly gives the same
        image, it is asked for the others.
        """
        make_codec, is_proved = CODECS.get(self.syntax), False
        facts = FrameFacts.of({**self.description.for_pydicom(), "photometric_interpretation": shades.photometric})
        codec = None
        if make_codec and facts and shades.palette is None and shades.depth == 8 and len(self) > 1:
            codec = make_codec(facts)
        for frame in self._frames:
            if codec and is_proved and (self.syntax == RLE or is_whole(frame)):
                try:
                    directly = codec(frame)
                except Exception:
                    directly = None
                if directly is not None:
                    yield directly
                    continue
            samples = self._samples(frame)
            grey = None if samples is None else shades(samples)
            yield grey
            if codec and not is_proved and grey is not None:
                try:
                    directly = codec(frame)
                except Exception:
                    directly = None
                is_proved = directly is not None and np.array_equal(directly, grey)
                codec = codec if is_proved else None

    def _samples(self, frame: bytes) -> Samples | None:
        """As :meth:`_decoded_anew`; of the frame that was looked at last, what was decoded then."""
        looked_at, samples = self._looked_at
        self._looked_at = (b"", None)
        return samples if looked_at and frame == looked_at else self._decoded_anew(frame)

    def _decoded_anew(self, frame: bytes) -> Samples | None:
        """The samples ``(rows, columns[, 3])``; None of a frame that is damaged, cut, or of another kind than the first."""
        if self.syntax == RLE:
            samples = self._decoded(frame)
            if samples is None:
                samples = self._decoded(without_trailer(frame, self.description.rows * self.description.columns))
            return samples
        frame = trimmed(frame)
        stream = codestream_of(frame)
        if stream is None or stream != self._stream:
            return None
        if stream.colour == "RGB" and stream.adobe is None and PLUGINS[self.syntax] == "pillow":
            frame = frame[:2] + ADOBE_RGB + frame[2:]
        if not is_whole(frame):
            if (end := end_of(frame, stream)) is None:
                return self._without_end(frame, stream)
            frame = frame[:end]
        samples = self._decoded(frame)
        return self._mended(frame, stream) if samples is None else samples

    def _without_end(self, frame: bytes, stream: Codestream) -> Samples | None:
        """A frame without an end marker, if nothing else of it is missing."""
        if stream.kind not in (Kind.JPEG, Kind.JPEG_LOSSLESS):
            return self._mended(frame, stream)
        if stream.is_progressive:
            return None
        frame = frame.rstrip(b"\xff")
        one, other = (self._decoded(frame + more + END_OF_CODESTREAM) for more in CONTINUATIONS)
        return one if one is not None and other is not None and np.array_equal(one, other) else None

    def _mended(self, frame: bytes, stream: Codestream) -> Samples | None:
        """A frame that its codec refuses with what stands at its end, of codecs that refuse what is cut."""
        if stream.kind is Kind.JPEG_2000:
            end = tile_parts_end(frame, stream)
            return None if end is None else self._decoded(frame[:end] + END_OF_CODESTREAM)
        if stream.kind is not Kind.JPEG_LS:
            return None
        end = end_of(frame, stream)
        content = frame if end is None else frame[: end - len(END_OF_CODESTREAM)]
        n_zeros = min(len(content) - len(content.rstrip(b"\0")), MOST_ZEROS)
        for n_less in range(n_zeros + 1):
            samples = self._decoded(content[: len(content) - n_less] + END_OF_CODESTREAM)
            if samples is not None:
                return samples
        return None

    def _decoded(self, frame: bytes) -> Samples | None:
        from pydicom.encaps import encapsulate

        try:
            with quiet():
                array: Any
                array, _ = self._decoder.as_array(
                    encapsulate([frame], has_bot=False),
                    raw=True,
                    index=0,
                    decoding_plugin=PLUGINS[self.syntax],
                    **self.description.for_pydicom(),
                )
        except Exception:
            return None
        about = self.description
        shape = (about.rows, about.columns) if about.samples == 1 else (about.rows, about.columns, about.samples)
        return array if array.shape == shape else None


def _first_codestream(frames: EncodedFrames) -> Codestream | None:
    """What the first frame says that says anything."""
    for _, frame in zip(range(N_FIRST), frames, strict=False):
        if (stream := codestream_of(trimmed(frame))) is not None:
            return stream
    return None


def _syntax_of(stream: Codestream | None, stated: str) -> str:
    """The transfer syntax that the frames are in."""
    if stream is None or stated in SYNTAXES[stream.kind]:
        return stated
    return SYNTAXES[stream.kind][0]


def _decoder_of(syntax: str) -> Decoder:
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    try:
        with quiet():
            decoder = get_decoder(UID(syntax))
    except NotImplementedError:
        decoder = None
    if decoder is None or syntax not in PLUGINS:
        raise UnreadableClipError(
            "unsupported-transfer-syntax", "the DICOM file is compressed in a way that is not read here"
        )
    return decoder


def _by_codestream(stream: Codestream, described: PixelDescription, syntax: str) -> tuple[PixelDescription, int]:
    """The description as the codestream has it, and the bits of its samples."""
    if stream.components not in (1, 3) or stream.precision > 16 or (stream.kind is Kind.JPEG and stream.precision != 8):
        raise UnreadableClipError(
            "unsupported-pixel-format", "the DICOM file's compressed frames have samples that are not read here"
        )
    if stream.components == 1:
        photometric = described.photometric if described.photometric in GREYS | {PALETTE} else "MONOCHROME2"
    else:
        photometric = _colours(stream, described, syntax)
    # GDCM gives two bytes of any precision but 8 bits.
    allocated = 8 if stream.precision == 8 or (stream.precision < 8 and stream.kind is not Kind.JPEG_LOSSLESS) else 16
    corrected = replace(
        described,
        rows=stream.height,
        columns=stream.width,
        samples=stream.components,
        photometric=photometric,
        planes=False,
        bits_allocated=allocated,
        bits_stored=stream.precision,
        is_signed=stream.is_signed,
    )
    return corrected, stream.precision


def _colours(stream: Codestream, described: PixelDescription, syntax: str) -> str:
    """What the decoder gives of three components: as the codestream says, else the header, else as most encoders do."""
    if stream.adobe is not None and PLUGINS[syntax] == "pillow":
        return "RGB"  # Pillow undoes the transform that Adobe's marker states
    usual = "YBR_FULL" if stream.kind is Kind.JPEG else "RGB"
    if stream.kind is Kind.JPEG and described.photometric in ("YBR_ICT", "YBR_RCT"):
        return stream.colour or usual
    return stream.colour or colour_family(described) or usual
