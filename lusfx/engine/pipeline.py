"""The encoding pipeline: one thread decodes ahead, the caller's thread encodes, one thread writes.

Batches have a fixed size and are filled across clips: one batch a whole clip would leave the encoder idle at the end of
each. What the decoder may run ahead is bounded, so memory does not grow with the archive.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Stamp, clip_key
from lusfx.config import FeatureSpec
from lusfx.contracts import Encoder
from lusfx.engine.sources import Source
from lusfx.errors import ClipError, SkippedClipError, UnreadableClipError
from lusfx.preprocess import prepare
from lusfx.site_key import SiteKey
from lusfx.types import ClipEmbeddings, FrameStatus, Note

BATCHES_AHEAD = 4
CLIPS_TO_WRITE = 4
MAX_FRAMES = 20_000
"""Longest clip: 13 minutes at 25 frames/s. A clip's embeddings are held until it is complete, so this bounds memory."""
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one source.

    :param outcome: ``encoded``, ``cached``, ``failed`` or ``skipped``.
    :param stamp: size and times of the file before its content was hashed.
    """

    source: Source
    outcome: str
    key: str | None = None
    stamp: Stamp | None = None
    patient_key: str | None = None
    exam_key: str | None = None
    code: str | None = None
    detail: str | None = None
    notes: tuple[str, ...] = ()
    n_frames: int = 0


@dataclass(slots=True)
class _OpenClip:
    """A clip between its first decoded frame and its last encoded one."""

    source: Source
    key: str
    stamp: Stamp | None
    patient_key: str | None = None
    exam_key: str | None = None
    times_s: list[float] = field(default_factory=list)
    source_frame: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    rows: list[NDArray[np.float32]] = field(default_factory=list)
    """Embeddings of the readable frames, in order, as slices of the batches they were encoded in."""
    n_readable: int = 0
    n_encoded: int = 0
    ended: bool = False
    failed: bool = False
    notes: frozenset[Note] = frozenset()
    provenance: dict[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return self.ended and not self.failed and self.n_encoded == self.n_readable


@dataclass(slots=True)
class _Batch:
    images: NDArray[np.uint8]
    owners: list[_OpenClip]


@dataclass(frozen=True, slots=True)
class _Ended:
    clip: _OpenClip


class _StopRequested(Exception):  # noqa: N818 - not an error
    """The run was asked to stop; raised in the decoding thread only."""


Message = _Batch | _Ended | Outcome | BaseException | None
"""What the decoding thread sends: None is the end, an exception ends the run."""


class Pipeline:
    """Encodes sources and hands each outcome on.

    :param spec: how frames are prepared.
    :param encoder: what encodes them.
    :param site_key: makes pseudonyms of what readers find.
    :param is_cached: whether the cache already holds a clip key.
    :param write: stores one clip, durable on return; called on the writing thread.
    :param stop: set by anyone to end the run; the clip in hand is dropped.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        encoder: Encoder,
        site_key: SiteKey,
        is_cached: Callable[[str], bool],
        write: Callable[[str, ClipEmbeddings], None],
        stop: threading.Event,
        batch_size: int,
    ) -> None:
        self.spec = spec
        self.encoder = encoder
        self.site_key = site_key
        self.is_cached = is_cached
        self.write = write
        self.stop = stop
        self.batch_size = batch_size
        self._quit = threading.Event()
        self._messages: queue.Queue[Message] = queue.Queue(maxsize=2 * BATCHES_AHEAD)
        self._to_write: queue.Queue[_OpenClip | None] = queue.Queue(maxsize=CLIPS_TO_WRITE)
        self._outcomes: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()

    def run(self, sources: list[Source]) -> Iterator[Outcome]:
        """Yield one outcome a source, in the order in which they are settled; fewer if stopped.

        :raises CacheError, EncoderError: when the run cannot go on; what was yielded before stays true.
        """
        decoder = threading.Thread(target=self._decode, args=(sources,), name="lusfx-decode", daemon=True)
        writer = threading.Thread(target=self._write, name="lusfx-write", daemon=True)
        decoder.start()
        writer.start()
        try:
            while (message := self._next_message()) is not None:
                if isinstance(message, BaseException):
                    raise message
                if isinstance(message, _Batch):
                    for clip in self._encode(message):
                        self._hand_over(clip)
                elif isinstance(message, _Ended):
                    message.clip.ended = True
                    if message.clip.complete:
                        self._hand_over(message.clip)
                else:
                    self._outcomes.put(message)
                yield from self._settled()
        finally:
            self._quit.set()  # on any end but the normal one the decoder is still at work, and must not go on unseen
            self._finish_writing(writer)
            decoder.join(timeout=2)
        yield from self._settled()

    @property
    def _stopping(self) -> bool:
        return self.stop.is_set() or self._quit.is_set()

    def _next_message(self) -> Message:
        while not self._stopping:
            try:
                return self._messages.get(timeout=POLL_S)
            except queue.Empty:
                continue
        return None

    def _settled(self) -> Iterator[Outcome]:
        while not self._outcomes.empty():
            outcome = self._outcomes.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome

    # The encoding thread (the caller's)

    def _encode(self, batch: _Batch) -> list[_OpenClip]:
        """Encode a batch, give each clip its rows, and return the clips that this completed."""
        vectors = self.encoder.encode(batch.images)
        completed = []
        start = 0
        for end in range(1, len(batch.owners) + 1):
            if end < len(batch.owners) and batch.owners[end] is batch.owners[start]:
                continue
            clip = batch.owners[start]
            # A slice would keep the whole batch alive with it, its other clips' rows included.
            clip.rows.append(vectors[start:end].copy())
            clip.n_encoded += end - start
            if clip.complete:
                completed.append(clip)
            start = end
        return completed

    def _hand_over(self, clip: _OpenClip) -> None:
        while not self._stopping:
            try:
                self._to_write.put(clip, timeout=POLL_S)
                return
            except queue.Full:
                continue

    # The writing thread

    def _write(self) -> None:
        while (clip := self._to_write.get()) is not None:
            try:
                self.write(clip.key, _embeddings_of(clip, self.encoder.identity.dim))
            except BaseException as error:
                self._outcomes.put(error)
                self._quit.set()
                return
            self._outcomes.put(
                Outcome(
                    clip.source,
                    "encoded",
                    clip.key,
                    clip.stamp,
                    clip.patient_key,
                    clip.exam_key,
                    notes=tuple(sorted(clip.notes)),
                    n_frames=len(clip.status),
                )
            )

    def _finish_writing(self, writer: threading.Thread) -> None:
        while writer.is_alive():
            try:
                self._to_write.put(None, timeout=POLL_S)
                break
            except queue.Full:
                continue
        writer.join()

    # The decoding thread

    def _decode(self, sources: list[Source]) -> None:
        try:
            batch = _Filler(self.batch_size, self.spec.preprocess.size, self._send)
            seen: set[str] = set()
            for source in sources:
                self._decode_one(source, batch, seen)
            batch.flush()
            self._send(None)
        except _StopRequested:
            pass
        except BaseException as error:
            self._messages.put(error)

    def _decode_one(self, source: Source, batch: _Filler, seen: set[str]) -> None:
        clip: _OpenClip | None = None
        try:
            if source.reader is None:
                raise UnreadableClipError(*_unclaimed(source))
            stamp = Stamp.of(source.path)  # before the content is read: a change in between must show
            key = clip_key(source.path)
            if key in seen or self.is_cached(key):
                self._send(Outcome(source, "cached", key, stamp, source.patient_key, source.exam_key))
                return
            clip = _OpenClip(source, key, stamp, source.patient_key, source.exam_key)
            self._decode_frames(clip, batch)
            if not _unchanged(source, stamp):
                raise UnreadableClipError("changed-while-read", "the file was changed while it was read; run again")
            seen.add(key)
            self._send(_Ended(clip))
        except _StopRequested:
            raise
        except Exception as error:
            if clip is not None:
                clip.failed = True
            self._send(_failure(source, clip, error))

    def _decode_frames(self, clip: _OpenClip, batch: _Filler) -> None:
        assert clip.source.reader is not None
        with clip.source.reader.open(clip.source.path, self.site_key) as opened:
            clip.patient_key = clip.patient_key or opened.info.patient_key
            clip.exam_key = clip.exam_key or opened.info.exam_key
            prepared = prepare(opened, self.spec.preprocess)
            for frame in prepared.frames():
                if len(clip.status) == MAX_FRAMES:
                    raise UnreadableClipError("too-long", f"the clip has more than {MAX_FRAMES} frames")
                clip.times_s.append(frame.time_s)
                clip.source_frame.append(frame.index)
                clip.status.append(frame.status)
                if frame.image is not None:
                    clip.n_readable += 1
                    batch.add(frame.image, clip)
                elif self._stopping:
                    raise _StopRequested
            if clip.n_readable == 0:
                raise UnreadableClipError("no-frames", "no frame of the clip could be decoded")
            clip.notes = opened.notes | prepared.notes
            beam = prepared.beam
            clip.provenance = {
                "reader": opened.info.reader,
                "height": opened.info.height,
                "width": opened.info.width,
                "time_source": str(opened.info.time_source),
                "beam_shape": str(beam.shape),
                "beam_confidence": round(float(beam.confidence), 4),
                "beam_box": f"{beam.box.x0},{beam.box.y0},{beam.box.x1},{beam.box.y1}",
                "notes": ",".join(sorted(clip.notes)),
                "runtime": self.encoder.runtime,
            }
            if opened.info.n_frames_declared is not None:
                clip.provenance["n_frames_declared"] = opened.info.n_frames_declared

    def _send(self, message: Message) -> None:
        while not self._stopping:
            try:
                return self._messages.put(message, timeout=POLL_S)
            except queue.Full:
                continue
        raise _StopRequested


class _Filler:
    """Fills batches of one size across clips."""

    def __init__(self, batch_size: int, size: int, send: Callable[[Message], None]) -> None:
        self.shape = (batch_size, size, size)
        self.send = send
        self._images = np.empty(self.shape, np.uint8)
        self._owners: list[_OpenClip] = []

    def add(self, image: NDArray[np.uint8], owner: _OpenClip) -> None:
        self._images[len(self._owners)] = image
        self._owners.append(owner)
        if len(self._owners) == self.shape[0]:
            self.flush()

    def flush(self) -> None:
        if self._owners:
            self.send(_Batch(self._images[: len(self._owners)], self._owners))
            self._images = np.empty(self.shape, np.uint8)
            self._owners = []


def _unchanged(source: Source, stamp: Stamp | None) -> bool:
    """Whether a file is still the one that was hashed: else its frames would be stored under another content's key."""
    now = Stamp.of(source.path)
    return now is not None and stamp is not None and now.as_text() == stamp.as_text()


def _embeddings_of(clip: _OpenClip, dim: int) -> ClipEmbeddings:
    """Put the readable frames' vectors at their rows; the others stay NaN, with their status beside them."""
    status = np.array(clip.status, np.uint8)
    embeddings = np.full((len(status), dim), np.nan, np.float32)
    embeddings[status == FrameStatus.OK] = np.concatenate(clip.rows)
    return ClipEmbeddings(
        embeddings, np.array(clip.times_s, np.float64), np.array(clip.source_frame, np.int64), status, clip.provenance
    )


def _unclaimed(source: Source) -> tuple[str, str]:
    if source.problem is not None:
        return source.problem, "the link leads out of the folder that was searched"
    if not source.path.exists():
        return "cannot-open", "the file does not exist"
    return "unknown-format", "no reader claims this kind of file"


def _failure(source: Source, clip: _OpenClip | None, error: Exception) -> Outcome:
    if isinstance(error, ClipError):
        code, detail = error.code, error.detail
    else:
        # Whatever a decoder or a plugin's reader raises may quote the file; its type says enough.
        code, detail = "reader-error", f"the reader failed with {type(error).__name__}"
    outcome = "skipped" if isinstance(error, SkippedClipError) else "failed"
    key = clip.key if clip is not None else None
    patient_key = clip.patient_key if clip is not None else source.patient_key
    exam_key = clip.exam_key if clip is not None else source.exam_key
    return Outcome(source, outcome, key, None, patient_key, exam_key, code, detail)
