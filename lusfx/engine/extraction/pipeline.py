"""The encoding pipeline: a thread hashes ahead, decoders decode ahead, the encoder's streams encode, one thread writes.

The caller's thread gives each its work, and puts clips together. Batches have a fixed size and are filled across clips. What
the decoders may run ahead is bounded, so memory does not grow with the archive.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lusfx.config import FeatureSpec
from lusfx.contracts import Encoder
from lusfx.engine.extraction.clip_in_hand import Batch, ClipInHand, Filler
from lusfx.engine.extraction.decoding.clip import Ending, Event, Portion, Refusal
from lusfx.engine.extraction.decoding.decoders import Decoders, make_decoders
from lusfx.engine.extraction.decoding.jobs import Job, Jobs
from lusfx.engine.extraction.decoding.limits import Limits
from lusfx.engine.extraction.encoding import BATCH_S, Encoded, EncodingStreams
from lusfx.engine.extraction.intake import Intake, Settlement, refused
from lusfx.engine.extraction.profile import Profile
from lusfx.engine.extraction.sources import Source
from lusfx.engine.extraction.stoppable_queue import POLL_S, StoppableQueue
from lusfx.errors import CacheError, LusfxError
from lusfx.site_key import SiteKey
from lusfx.types import ClipEmbeddings

MESSAGES_AHEAD = 32
"""Portions of frames that wait for the encoder: those of a clip or two, since a clip's come together when its beam is found."""
CLIPS_TO_WRITE = 4
JOBS_AHEAD = 4
WRITTEN_S = 30.0
"""How long a run that ends early waits for the clips that were handed over to be written: a disk may never answer."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A clip was decoded to its end: the caller's thread alone decides when it is complete."""

    clip: ClipInHand
    ending: Ending


class _BatchDone:
    """A batch was encoded."""


Message = Batch | _Ended | Job | Settlement | _BatchDone
"""What the caller's thread is sent: images; a clip that has ended; a copy of a clip that is encoded in this run; a source
that is settled already; that there is an encoded batch to fetch."""


class _StopRequested(Exception):  # noqa: N818 - not an error
    """The run was asked to stop; raised in the hashing and the decoding thread only."""


class Pipeline:
    """Encodes sources and hands on what becomes of each.

    :param spec: how frames are prepared.
    :param encoder: what encodes them.
    :param site_key: makes pseudonyms of what readers find.
    :param is_cached: whether the cache already holds a clip key.
    :param write: stores one clip, durable on return; called on the writing thread.
    :param stop: set by anyone to end the run; the clips in hand are dropped.
    :param workers: decoding processes; 0 decodes in a thread of this one.
    :param limits: of each decoding process.
    :param batch_s: seconds that the encoder may take for a batch, or for being loaded.
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
        workers: int = 0,
        limits: Limits | None = None,
        batch_s: float = BATCH_S,
    ) -> None:
        self.spec = spec
        self.site_key = site_key
        self.workers = workers
        self.limits = limits or Limits()
        self.encoder = encoder
        self._quit = threading.Event()
        self.streams = EncodingStreams(encoder, batch_size, self._tell_of_batch, self._stopping, batch_s)
        self.write = write
        self.stop = stop
        self.batch_size = batch_size
        self.profile = Profile(streams=encoder.streams)
        self._messages: StoppableQueue[Message] = StoppableQueue(MESSAGES_AHEAD)
        self._to_write: StoppableQueue[ClipInHand] = StoppableQueue(CLIPS_TO_WRITE)
        self._settlements: queue.SimpleQueue[Settlement | BaseException] = queue.SimpleQueue()
        self._jobs = Jobs(JOBS_AHEAD + workers, copy=self._send)
        self._intake = Intake(self._jobs, is_cached, self._send, self.profile, self._stopping)
        self._copies: dict[str, list[Job]] = {}
        self._settled_clips: dict[str, Settlement] = {}

    def run(self, sources: list[Source]) -> Iterator[Settlement]:
        """Yield one settlement a source, in the order in which they are settled; fewer if stopped.

        :raises CacheError, EncoderError, DecoderError: when the run cannot go on; what was yielded before stays true.
        """
        decoders = self._decoders(len(sources))
        threads = {
            name: threading.Thread(target=target, args=arguments, name=f"lusfx-{name}", daemon=True)
            for name, target, arguments in (
                ("hash", self._take_in, (sources,)),
                ("decode", self._decode, (decoders,)),
                ("write", self._write, ()),
            )
        }
        for thread in threads.values():
            thread.start()
        in_order = False
        try:
            self.streams.warm_up()  # while the first decoder starts
            while (message := self._next_message()) is not None:
                yield from self._settled(self._handle(message))
            if not self._stopping():
                self._take(self.streams.rest())
            in_order = not self._stopping()
        finally:
            self._quit.set()  # on any end but the normal one the decoders are still at work, and must not go on unseen
            self.streams.close()
            self._to_write.close()
            self._wait_for_writing(threads["write"], in_order)
            for thread in threads.values():
                thread.join(timeout=2)
        yield from self._settled([])
        if threads["write"].is_alive():
            raise CacheError("the disk of the cache does not answer; the clips in hand were not written")

    def _wait_for_writing(self, writing: threading.Thread, in_order: bool) -> None:
        """What was handed over is written: all of it at the end of the work, what can be soon where that is cut short."""
        patience_s = WRITTEN_S
        while writing.is_alive() and patience_s > 0:
            writing.join(POLL_S)
            if self.stop.is_set() or not in_order:
                patience_s -= POLL_S

    def _decoders(self, n_sources: int) -> Decoders:
        return make_decoders(self.spec.preprocess, self.site_key, min(self.workers, n_sources), self.limits)

    def _stopping(self) -> bool:
        return self.stop.is_set() or self._quit.is_set()

    def _next_message(self) -> Message | None:
        with self.profile.stage("waiting") if self.streams.hungry else contextlib.nullcontext():
            return self._messages.get(self.streams.stopping)

    def _hungry(self) -> bool:
        """Whether the encoder has too little to do."""
        return self._messages.empty and self.streams.hungry

    # The caller's thread

    def _handle(self, message: Message) -> list[Settlement]:
        """Do what a message asks for; returns what it settles at once."""
        self._take(self.streams.done())
        if isinstance(message, Settlement):
            return [message]
        if isinstance(message, Job):
            if message.key in self._settled_clips:
                return [_copy(message, self._settled_clips[message.key])]
            self._copies.setdefault(message.key, []).append(message)
        elif isinstance(message, Batch):
            self._take(self.streams.begin(message))
        elif isinstance(message, _Ended):
            message.clip.ending = message.ending
            if message.clip.complete:
                self._hand_over(message.clip)
        return []

    def _take(self, batches: Iterable[Encoded]) -> None:
        """Give each clip its rows, and hand over the clips that this completes."""
        for encoded in batches:
            self.profile.seconds["encoding"] += encoded.seconds
            for clip, share in encoded.batch.shares():
                clip.add_rows(encoded.embeddings[share])
                if clip.complete:
                    self._hand_over(clip)

    def _hand_over(self, clip: ClipInHand) -> None:
        """Have a complete clip written, once the writing thread has room for it; a run that is stopping drops it."""
        if clip.n_not_finite:
            self._settlements.put(_not_encoded(clip, "not-finite", clip.not_finite))
        else:
            self._to_write.put(clip, self._stopping)

    def _settled(self, settlements: list[Settlement]) -> Iterator[Settlement]:
        """These settlements, and those of clips that were decoded to their end; with each of those go its copies."""
        yield from settlements
        while not self._settlements.empty():
            settlement = self._settlements.get()
            if isinstance(settlement, BaseException):
                raise settlement
            yield settlement
            assert settlement.key is not None
            self._settled_clips[settlement.key] = settlement
            for copy in self._copies.pop(settlement.key, []):
                yield _copy(copy, settlement)

    # The writing thread

    def _write(self) -> None:
        with self._ending_the_run():
            while (clip := self._to_write.get()) is not None:
                self._settlements.put(self._written(clip))

    def _written(self, clip: ClipInHand) -> Settlement:
        try:
            with self.profile.stage("writing"):
                self.write(clip.job.key, clip.embeddings(self.encoder.identity.dim, self.encoder.runtime))
        except LusfxError:
            raise
        except Exception as error:  # what a plugin's reader or encoder says of this clip does not belong into a record
            return _not_encoded(clip, "not-storable", f"its embeddings cannot be stored ({type(error).__name__})")
        return _encoded(clip)

    # The encoder's threads

    def _tell_of_batch(self) -> None:
        """Where there are other messages, whoever reads them looks for encoded batches anyway."""
        self._messages.offer(_BatchDone())

    # The hashing thread

    def _take_in(self, sources: list[Source]) -> None:
        with self._ending_the_run():
            self._intake.run(sources)

    # The decoding thread

    def _decode(self, decoders: Decoders) -> None:
        with self._ending_the_run():
            filler = Filler(self.batch_size, self.spec.preprocess.size, self._send)
            in_hand: dict[Job, ClipInHand] = {}
            for job, event in decoders.run(self._jobs, self._stopping, self._hungry):
                self._collect(job, event, in_hand, filler)
            self.profile.decoders = decoders.n_used
            filler.flush()
            self._messages.close()

    def _collect(self, job: Job, event: Event, in_hand: dict[Job, ClipInHand], filler: Filler) -> None:
        """Put a clip's frames into batches, and tell of its end."""
        clip = in_hand.setdefault(job, ClipInHand(job))
        if isinstance(event, Portion):
            clip.add(event)
            filler.add(event.images, clip)
            return
        assert isinstance(event, Ending | Refusal)  # no picture was asked for
        del in_hand[job]
        self.profile.add_clip(event.seconds)
        if isinstance(event, Refusal):
            clip.failed = True
            self._send(refused(job.source, event, job.key))
        else:
            self._send(_Ended(clip, event))
        self._jobs.ended(job, decoded=not clip.failed)

    # What these threads share

    @contextmanager
    def _ending_the_run(self) -> Iterator[None]:
        """Whatever goes wrong in a thread ends the run, and is raised in the caller's."""
        try:
            yield
        except _StopRequested:
            pass
        except BaseException as error:
            self._settlements.put(error)
            self._quit.set()

    def _send(self, message: Message) -> None:
        if not self._messages.put(message, self._stopping):
            raise _StopRequested


def _encoded(clip: ClipInHand) -> Settlement:
    ending, source = clip.ending, clip.job.source
    assert ending is not None
    return Settlement(
        source,
        "encoded",
        clip.job.key,
        clip.job.stamp,
        source.patient_key or ending.patient_key,
        ending.patient_key,
        source.exam_key or ending.exam_key,
        notes=ending.notes,
        n_frames=sum(len(portion.status) for portion in clip.portions),
    )


def _not_encoded(clip: ClipInHand, code: str, detail: str) -> Settlement:
    """A clip that was decoded, and whose embeddings are none."""
    ending = clip.ending
    assert ending is not None
    refusal = Refusal("failed", code, detail, ending.patient_key, ending.exam_key)
    return refused(clip.job.source, refusal, clip.job.key)


def _copy(job: Job, of: Settlement) -> Settlement:
    """A source whose content another source of this run has; what became of that becomes of it."""
    if of.code is not None:
        return refused(job.source, Refusal(of.status, of.code, of.detail or ""), job.key)
    return Settlement(job.source, "cached", job.key, job.stamp, job.source.patient_key, exam_key=job.source.exam_key)
