"""The values that pass between stages. Arrays carry their axes and units in their names and docstrings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

GreyImage = NDArray[np.uint8]
"""One B-mode image, ``(height, width)``, 0 black to 255 white."""

Embeddings = NDArray[np.floating]
"""One vector a frame, ``(n_frames, dim)``."""


Fact = str | int | float | bool
"""A value of a clip's provenance."""


class FrameStatus(IntEnum):
    """Whether a frame has an embedding. Stored a frame, so that a gap is never silent."""

    OK = 0
    UNREADABLE = 1


class TimeSource(StrEnum):
    """Where frame times came from, most exact first (DICOM PS3.3 C.7.6.5, C.8.5.6 for the first four)."""

    FRAME_TIME_VECTOR = "frame-time-vector"
    FRAME_TIME = "frame-time"
    CINE_RATE = "cine-rate"
    RECOMMENDED_DISPLAY_FRAME_RATE = "recommended-display-frame-rate"
    CONTAINER = "container"
    STILL = "still"
    UNKNOWN = "unknown"


class Note(StrEnum):
    """Something a reader must tell about a clip that it could still read. The ledger and the record keep it."""

    FEWER_FRAMES_THAN_DECLARED = "fewer-frames-than-declared"
    MORE_FRAMES_THAN_DECLARED = "more-frames-than-declared"
    UNREADABLE_FRAMES = "unreadable-frames"
    FRAME_TIMES_UNKNOWN = "frame-times-unknown"
    SEVERAL_B_MODE_REGIONS = "several-b-mode-regions"
    BEAM_NOT_FOUND = "beam-not-found"
    REGION_IGNORED = "region-ignored"
    """A declared region does not fit the frame, has no place in it, or cuts through the beam: the whole frame was taken."""
    FRAME_TIMES_CORRECTED = "frame-times-corrected"
    """Frame times were written in another unit or form than the standard's, and read for what they mean."""
    PIXEL_ASPECT_DOUBTFUL = "pixel-aspect-doubtful"
    """What the source says of the sides of its pixels contradicts itself, or cannot be."""
    GREY_RANGE_FROM_DATA = "grey-range-from-data"
    """Samples use few of the bits that they are said to have; shown as declared, the picture would be nearly black."""
    ORIENTATION_NOT_APPLIED = "orientation-not-applied"
    """The source says to turn its frames by another angle than a right one."""
    OTHER_PICTURES_LEFT_OUT = "other-pictures-left-out"
    """The file holds previews, or pages of another size, that are no frames of the clip."""
    DESCRIPTION_CORRECTED = "description-corrected"
    """The header's size, samples or bits of the pixels contradict the pixels; those were read as they are."""
    COLOUR_SPACE_CORRECTED = "colour-space-corrected"
    """The pixels are in another colour space than the header says."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole pixels, half open: columns ``x0 <= x < x1``, rows ``y0 <= y < y1``."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a clip as its reader yields it.

    :param index: position in the source, from 0.
    :param time_s: seconds after the first frame; NaN where unknown.
    :param pixels: the grey image; None exactly where ``status`` is not OK.
    """

    index: int
    time_s: float
    pixels: GreyImage | None
    status: FrameStatus = FrameStatus.OK


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """What is known of a clip before its frames are decoded.

    :param reader: name of the reader that opened it.
    :param height: rows of each frame.
    :param width: columns of each frame.
    :param n_frames_declared: frames that the source says it has; None where it does not say.
    :param time_source: where frame times come from.
    :param region: the B-mode region that the source declares; None where it declares none.
    :param patient_key: keyed hash of the patient's identifier; None where the source holds none.
    :param exam_key: keyed hash of the study's identifier; None where the source holds none.
    """

    reader: str
    height: int
    width: int
    n_frames_declared: int | None
    time_source: TimeSource
    region: Box | None = None
    patient_key: str | None = None
    exam_key: str | None = None


class Clip(Protocol):
    """One cine loop (or one still: a clip of one frame), opened by a reader."""

    @property
    def info(self) -> ClipInfo: ...

    def frames(self) -> Iterator[Frame]:
        """Decode in order, once, holding one frame at a time.

        :raises UnreadableClipError: when no frame can be decoded. A frame that fails between good ones is yielded
            with a status; a source that ends early ends the iteration and leaves a note.
        """
        ...

    @property
    def notes(self) -> frozenset[Note]:
        """What there is to tell; complete once :meth:`frames` is exhausted."""
        ...


@dataclass(frozen=True, slots=True)
class ClipEmbeddings:
    """The embeddings of one clip, as the cache keeps them. All arrays have one row a frame.

    :param embeddings: ``(n_frames, dim)``, float16 or float32; rows whose status is not OK are NaN.
    :param times_s: ``(n_frames,)`` float64, seconds after the first frame; NaN where unknown.
    :param source_frame: ``(n_frames,)`` int64, position of each row's frame in the source.
    :param status: ``(n_frames,)`` uint8 of :class:`FrameStatus`.
    :param provenance: facts that do not decide an embedding's value: sizes, beam, notes, library versions. Strings,
        numbers and booleans only; nothing that identifies a patient.
    """

    embeddings: NDArray[np.float16] | NDArray[np.float32]
    times_s: NDArray[np.float64]
    source_frame: NDArray[np.int64]
    status: NDArray[np.uint8]
    provenance: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def n_frames(self) -> int:
        return int(self.embeddings.shape[0])


def plausible_times(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times of a clip's frames with NaN, unknown, for those that cannot be: infinite, below 0, or before an earlier frame's.

    :param times_s: ``(n_frames,)`` as a reader said them.
    """
    known = np.where((times_s >= 0) & (times_s < math.inf), times_s, math.nan)
    return np.where(known < np.fmax.accumulate(known), math.nan, known)


@dataclass(frozen=True, slots=True)
class NotAssessable:
    """Why a unit gets no answer, which is never the same as no.

    :param code: stable, lower-case, hyphenated; what programs count.
    :param detail: what a person reads, with the figures.
    """

    code: str
    detail: str
