"""One clip decoded and prepared: the same code in a decoding process and in a thread.

What comes out are portions of frames and one ending, or one picture for a person to look at. Nothing here knows the cache or
the encoder, so that a decoding process imports neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice

import numpy as np
from numpy.typing import NDArray

from lusfx.config import PreprocessSpec
from lusfx.engine.extraction.decoding.limits import MAX_FRAMES
from lusfx.engine.extraction.decoding.source_file import SourceFile
from lusfx.errors import ClipError, SkippedClipError, UnreadableClipError
from lusfx.preprocess import BeamShape, inspection_picture, prepare
from lusfx.preprocess.prepare import PreparedClip, PreparedFrame
from lusfx.types import Clip, ClipInfo, Frame, Note

PORTION_FRAMES = 8
PORTION_BYTES = 1 << 19
"""A portion is full at so many frames, or sooner where frames are large."""

OUT_OF_MEMORY = "out-of-memory"

Provenance = Mapping[str, str | int | float | bool]


@dataclass(slots=True)
class StageSeconds:
    """Seconds that a clip took in each stage of decoding.

    :param decoding: opening the source and decoding its frames.
    :param beam: finding the beam.
    :param preparing: masking, cropping and resizing.
    """

    decoding: float = 0.0
    beam: float = 0.0
    preparing: float = 0.0


@dataclass(frozen=True, slots=True)
class Portion:
    """Some frames of a clip, in order.

    :param source_frame: ``(n,)`` int64, positions in the source.
    :param times_s: ``(n,)`` float64, seconds after the first frame; NaN where unknown.
    :param status: ``(n,)`` uint8 of :class:`~lusfx.types.FrameStatus`.
    :param images: ``(n_readable, size, size)`` uint8, of those whose status is OK.
    """

    source_frame: NDArray[np.int64]
    times_s: NDArray[np.float64]
    status: NDArray[np.uint8]
    images: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Ending:
    """A clip that was decoded to its end, and what is known of it then.

    :param beam_confidence: from 0 to 1, as it was computed; the provenance has it rounded.
    """

    patient_key: str | None
    exam_key: str | None
    notes: tuple[str, ...]
    provenance: Provenance
    beam_confidence: float
    seconds: StageSeconds


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame, its beam, the crop and the encoder's input side by side, and what is known of the clip.

    :param pixels: :data:`~lusfx.preprocess.inspection.SHEET_SHAPE` uint8, red, green and blue.
    """

    info: ClipInfo
    beam_shape: BeamShape
    beam_confidence: float
    notes: tuple[str, ...]
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A clip that comes to nothing.

    :param status: ``failed`` or ``skipped``.
    :param code: stable; what the ledger records.
    :param detail: what a person reads; free of patient data, names and paths.
    """

    status: str
    code: str
    detail: str
    patient_key: str | None = None
    exam_key: str | None = None
    seconds: StageSeconds = field(default_factory=StageSeconds)

    def as_error(self) -> ClipError:
        """The error that was raised where the clip was decoded, or that stands for what was."""
        kind = SkippedClipError if self.status == "skipped" else UnreadableClipError
        return kind(self.code, self.detail)


Event = Portion | Ending | Picture | Refusal
"""What becomes of a clip: portions and at the end an ending, or a picture where that was asked for; or else a refusal."""


def decode(
    file: SourceFile, spec: PreprocessSpec, max_frames: int, alive: Callable[[], None]
) -> Iterator[Portion | Ending | Refusal]:
    """Decode a clip and prepare its frames. Whatever the reader raises becomes a :class:`Refusal`.

    :param max_frames: a clip of more is refused.
    :param alive: called after each decoded frame: a decoder that goes on is not stuck.
    """
    decoding = _Decoding(file, spec, alive, max_frames)
    try:
        yield from decoding.run()
    except (GeneratorExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit, say
        yield decoding.refusal(error)


def draw(file: SourceFile, spec: PreprocessSpec, frame: int, alive: Callable[[], None]) -> Iterator[Picture | Refusal]:
    """Draw what preprocessing does to one frame of a clip. Whatever the reader raises becomes a :class:`Refusal`.

    :param frame: which one, from 0.
    :param alive: called after each decoded frame.
    """
    decoding = _Decoding(file, spec, alive, MAX_FRAMES)
    try:
        yield decoding.picture(frame)
    except (GeneratorExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        yield decoding.refusal(error)


class _Decoding:
    """A clip that is being decoded, with what is known of it so far."""

    def __init__(self, file: SourceFile, spec: PreprocessSpec, alive: Callable[[], None], max_frames: int) -> None:
        self.file = file
        self.spec = spec
        self.alive = alive
        self.max_frames = max_frames
        self.seconds = StageSeconds()
        self.patient_key: str | None = None
        self.exam_key: str | None = None
        self._n_readable = 0

    def run(self) -> Iterator[Portion | Ending]:
        with self.file.held(), self._prepared() as (opened, prepared):
            yield from self._portions(prepared)
            if self._n_readable == 0:
                raise UnreadableClipError("no-frames", "none of the frames that were to be encoded could be decoded")
            notes = tuple(sorted(opened.notes | prepared.notes))
            provenance = _provenance(opened.info, prepared, notes)
            confidence = float(prepared.beam.confidence)
        yield Ending(self.patient_key, self.exam_key, notes, provenance, confidence, self.seconds)

    def picture(self, frame: int) -> Picture:
        with self.file.held(), self._prepared() as (opened, prepared):
            shown = next(islice(prepared.source_frames(), frame, None), None)
            if shown is None or shown.pixels is None:
                raise UnreadableClipError("no-frames", f"the clip has no readable frame {frame}")
            beam = prepared.beam
            pixels = np.asarray(inspection_picture(shown.pixels, beam, prepared.transform))
            notes = tuple(sorted(opened.notes | prepared.notes))
            return Picture(opened.info, beam.shape, float(beam.confidence), notes, pixels)

    @contextmanager
    def _prepared(self) -> Iterator[tuple[Clip, PreparedClip]]:
        """The clip, and the same clip with its beam found."""
        with self._opened() as clip:
            self.patient_key, self.exam_key = clip.info.patient_key, clip.info.exam_key
            started, decoded_s = time.perf_counter(), self.seconds.decoding
            prepared = prepare(clip, self.spec, self._opened)
            self.seconds.beam += time.perf_counter() - started - (self.seconds.decoding - decoded_s)
            yield clip, prepared

    @contextmanager
    def _opened(self) -> Iterator[Clip]:
        started = time.perf_counter()
        with self.file.opened() as opened:
            self.seconds.decoding += time.perf_counter() - started
            self.alive()
            # A stride says in advance how many frames there will be; a rate does not, so it lets no longer clip in.
            yield _WatchedClip(opened, self.seconds, self.alive, self.max_frames * self.spec.stride)

    def _portions(self, prepared: PreparedClip) -> Iterator[Portion]:
        most = max(1, min(PORTION_FRAMES, PORTION_BYTES // self.spec.size**2))
        held: list[PreparedFrame] = []
        started, decoded_s = time.perf_counter(), self.seconds.decoding
        for frame in prepared.frames():
            self._n_readable += frame.image is not None
            held.append(frame)
            if len(held) == most:
                self.seconds.preparing += time.perf_counter() - started - (self.seconds.decoding - decoded_s)
                yield _portion(held, self.spec.size)
                held = []
                started, decoded_s = time.perf_counter(), self.seconds.decoding
        self.seconds.preparing += time.perf_counter() - started - (self.seconds.decoding - decoded_s)
        if held:
            yield _portion(held, self.spec.size)

    def refusal(self, error: BaseException) -> Refusal:
        status = "skipped" if isinstance(error, SkippedClipError) else "failed"
        if isinstance(error, ClipError):
            code, detail = error.code, error.detail
        elif isinstance(error, MemoryError):
            code, detail = OUT_OF_MEMORY, "decoding the clip takes more memory than a decoder may have"
        else:
            # Whatever a decoder or a plugin's reader raises may quote the file; its type says enough.
            code, detail = "reader-error", f"the reader failed with {type(error).__name__}"
        return Refusal(status, code, detail, self.patient_key, self.exam_key, self.seconds)


class _WatchedClip:
    """A clip that says how long its frames took to decode, and that it goes on, and is refused when it goes on too long."""

    def __init__(self, clip: Clip, seconds: StageSeconds, alive: Callable[[], None], max_frames: int) -> None:
        self._clip = clip
        self._seconds = seconds
        self._alive = alive
        self._max_frames = max_frames

    @property
    def info(self) -> ClipInfo:
        return self._clip.info

    @property
    def notes(self) -> frozenset[Note]:
        return self._clip.notes

    def frames(self) -> Iterator[Frame]:
        frames, before = self._clip.frames(), -1
        for number in count(1):
            started = time.perf_counter()
            frame = next(frames, None)
            self._seconds.decoding += time.perf_counter() - started
            if frame is None:
                return
            self._alive()
            if number > self._max_frames:
                raise UnreadableClipError("too-long", f"the clip has more than {self._max_frames} frames")
            if frame.index <= before:
                raise ValueError("a reader gives the positions of frames out of their order")
            before = frame.index
            yield frame


def _portion(frames: list[PreparedFrame], size: int) -> Portion:
    images = [frame.image for frame in frames if frame.image is not None]
    return Portion(
        np.array([frame.index for frame in frames], np.int64),
        np.array([frame.time_s for frame in frames], np.float64),
        np.array([frame.status for frame in frames], np.uint8),
        np.stack(images) if images else np.empty((0, size, size), np.uint8),
    )


def _provenance(info: ClipInfo, prepared: PreparedClip, notes: tuple[str, ...]) -> Provenance:
    beam = prepared.beam
    facts: dict[str, str | int | float | bool] = {
        "reader": info.reader,
        "height": info.height,
        "width": info.width,
        "time_source": str(info.time_source),
        "beam_shape": str(beam.shape),
        "beam_confidence": round(float(beam.confidence), 4),
        "beam_box": f"{beam.box.x0},{beam.box.y0},{beam.box.x1},{beam.box.y1}",
        "notes": ",".join(notes),
    }
    return facts if info.n_frames_declared is None else facts | {"n_frames_declared": info.n_frames_declared}
