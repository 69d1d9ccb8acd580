"""Who decodes: a thread of this process, or processes of their own under a watchdog."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Generator, Iterator
from typing import Protocol

from lusfx.config import PreprocessSpec
from lusfx.engine.extraction.decoding.clip import OUT_OF_MEMORY, Event, Portion, Refusal, decode, draw
from lusfx.engine.extraction.decoding.jobs import Job, Jobs
from lusfx.engine.extraction.decoding.limits import Limits, default_workers, takes_too_long
from lusfx.engine.extraction.decoding.process import WorkerDiedError, WorkerProcess
from lusfx.engine.extraction.decoding.source_file import SourceFile
from lusfx.engine.extraction.stoppable_queue import POLL_S
from lusfx.errors import DecoderError
from lusfx.plugins import Registry, load_registry
from lusfx.site_key import SiteKey

IDLE_POLL_S = 0.005
"""How often to look for a job while a decoder has none."""
HUNGER_S = 0.2
"""How long the encoder must have waited, in all, before another decoder is started: starting one takes a core half a second."""
START_S = 60.0
"""What a process may take to start, on a network disk say."""
MOST_STARTS_FAILED = 3
CANNOT_START = (
    "decoding processes cannot be started here. Decode in this process: --workers 0 (workers=0), or LUSFX_WORKERS=0"
)


class Decoders(Protocol):
    """Turns jobs into events. ``n_used`` have worked at the same time."""

    n_used: int

    def run(self, jobs: Jobs, stopping: Callable[[], bool], hungry: Callable[[], bool]) -> Generator[tuple[Job, Event]]:
        """What becomes of each job: portions, then one ending or refusal; or one picture. Jobs may overlap.

        :param hungry: whether whoever takes the frames has nothing to do.
        :raises DecoderError: if nothing can be decoded at all.
        """
        ...


class ThreadDecoder:
    """Decodes in the calling thread. A reader that is no plugin of this environment can be used, and a debugger; a file that
    crashes, freezes or floods the decoder ends the run.

    :param limits: of which only the length of a clip holds here.
    """

    n_used = 1

    def __init__(self, spec: PreprocessSpec, site_key: SiteKey, limits: Limits) -> None:
        self.spec = spec
        self.site_key = site_key
        self.limits = limits

    def run(self, jobs: Jobs, stopping: Callable[[], bool], hungry: Callable[[], bool]) -> Generator[tuple[Job, Event]]:
        while not jobs.finished and not stopping():
            job = jobs.take(POLL_S)
            if job is not None:
                for event in self._events(job):
                    yield job, event

    def _events(self, job: Job) -> Iterator[Event]:
        assert job.source.reader is not None
        file = SourceFile(job.source.reader, job.source.path, self.site_key, job.stamp)
        if job.drawn_frame is None:
            return decode(file, self.spec, self.limits.max_frames, lambda: None)
        return draw(file, self.spec, job.drawn_frame, lambda: None)


class ProcessDecoders:
    """Decodes in processes. One that dies or falls silent costs the clip in its hand, and another takes its place.

    It begins with one and starts more while the encoder has to wait: a slow encoder needs no second, and a few clips are
    done before it could help.

    :param n_workers: how many there may be.
    :param limits: of each.
    """

    def __init__(self, spec: PreprocessSpec, site_key: SiteKey, n_workers: int, limits: Limits) -> None:
        self.spec = spec
        self.site_key = site_key
        self.n_workers = n_workers
        self.limits = limits
        self._workers: list[WorkerProcess] = []
        self._starts_failed = 0
        self.n_used = 1
        self._hungry_s = 0.0

    def run(self, jobs: Jobs, stopping: Callable[[], bool], hungry: Callable[[], bool]) -> Generator[tuple[Job, Event]]:
        with selectors.DefaultSelector() as selector:
            try:
                while not stopping():
                    self._give_out(jobs, selector)
                    if jobs.finished and all(worker.job is None for worker in self._workers):
                        return
                    yield from self._events(jobs, selector, hungry)
            finally:
                for worker in self._workers:
                    worker.end()
                self._workers.clear()

    def _give_out(self, jobs: Jobs, selector: selectors.BaseSelector) -> None:
        """Start decoders while there is work for them, and give each idle one a job."""
        while len(self._workers) < self.n_used and not jobs.finished:
            try:
                worker = WorkerProcess(self.spec, self.site_key, self.limits)
            except OSError:
                raise DecoderError(CANNOT_START) from None
            self._workers.append(worker)
            selector.register(worker.connection, selectors.EVENT_READ, worker)
        for worker in self._workers:
            if worker.ready and worker.job is None and (job := jobs.take()) is not None:
                worker.decode(job)

    def _events(
        self, jobs: Jobs, selector: selectors.BaseSelector, hungry: Callable[[], bool]
    ) -> Iterator[tuple[Job, Event]]:
        """Listen for a moment."""
        idle = any(worker.ready and worker.job is None for worker in self._workers) and not jobs.finished
        started = time.monotonic()
        heard = {key.data for key, _ in selector.select(IDLE_POLL_S if idle else POLL_S)}
        # Only the time that was spent listening counts: while this thread waits for the encoder, decoders wait for it.
        listened_s = min(time.monotonic() - started, 2 * POLL_S)
        if hungry() and all(worker.job is not None for worker in self._workers):
            self._hungry_s += listened_s
            if self._hungry_s > HUNGER_S and self.n_used < self.n_workers:
                self.n_used, self._hungry_s = self.n_used + 1, 0.0
        for worker in list(self._workers):
            worker.clip_s += listened_s
            if worker.begun and worker.job is not None and worker.clip_s > self.limits.clip_s:
                # It counts its own time and gives up before, unless the file has made something else of it.
                yield from self._handle_death(worker, jobs, selector, "timed-out", takes_too_long(self.limits.clip_s))
            elif worker in heard:
                yield from self._handle_message(worker, jobs, selector)
            elif worker.job is not None or not worker.ready:
                worker.silent_s += listened_s
                if worker.silent_s > (self.limits.silence_s if worker.ready else START_S):
                    detail = f"no frame was decoded for {self.limits.silence_s:g} s"
                    yield from self._handle_death(worker, jobs, selector, "timed-out", detail)

    def _handle_message(
        self, worker: WorkerProcess, jobs: Jobs, selector: selectors.BaseSelector
    ) -> Iterator[tuple[Job, Event]]:
        try:
            event = worker.receive()
        except WorkerDiedError:
            detail = f"the decoding process {worker.exit_reason()} on this file"
            yield from self._handle_death(worker, jobs, selector, "decoder-died", detail)
            return
        if worker.begun:
            self._starts_failed = 0
        job = worker.job
        if event is None or job is None:
            return
        if not isinstance(event, Portion):
            worker.job = None
        if isinstance(event, Refusal) and event.code == OUT_OF_MEMORY:
            self._end(worker, selector)  # what is left of its memory is in pieces
        yield job, event

    def _handle_death(
        self, worker: WorkerProcess, jobs: Jobs, selector: selectors.BaseSelector, code: str, detail: str
    ) -> Iterator[tuple[Job, Event]]:
        """End a decoder; what it was decoding has failed."""
        self._end(worker, selector)
        if worker.job is not None and worker.begun:
            yield worker.job, Refusal("failed", code, detail)
            return
        if worker.job is not None:
            jobs.put_back(worker.job)
        self._starts_failed += 1
        if self._starts_failed == MOST_STARTS_FAILED:
            raise DecoderError(CANNOT_START)

    def _end(self, worker: WorkerProcess, selector: selectors.BaseSelector) -> None:
        selector.unregister(worker.connection)
        self._workers.remove(worker)
        worker.end()


def workers_for(registry: Registry, asked: int | None = None) -> int:
    """How many processes may decode; 0 for a thread of this one.

    :param registry: where its readers are not those that this environment's plugins register, a process would not find them.
    :param asked: how many the caller wants; None for :func:`~lusfx.engine.extraction.decoding.limits.default_workers`.
    :raises UsageError: if ``LUSFX_WORKERS`` is asked and is no number.
    """
    n_workers = default_workers() if asked is None else asked
    return n_workers if registry is load_registry() else 0


def make_decoders(spec: PreprocessSpec, site_key: SiteKey, n_workers: int, limits: Limits) -> Decoders:
    """As many processes as there may be; a thread of this one where that is none."""
    if n_workers == 0:
        return ThreadDecoder(spec, site_key, limits)
    return ProcessDecoders(spec, site_key, n_workers, limits)
