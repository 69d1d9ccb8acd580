"""Do the runs of a study: in this process, or shared among others that end when it does."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Protocol, Self

from lusfx.studies.run_store import StudyError

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

WATCHED_S = 0.5


class Job(Protocol):
    """Runs that share what they learn from. It travels to other processes."""

    def do_all(self, should_stop: Callable[[], bool]) -> int:
        """Do the runs one by one, each durable before the next; returns how many were done."""
        ...

    def parts(self, n_workers: int) -> Iterator[Self]:
        """The same work in parts that so many workers can share."""
        ...


def do_jobs(jobs: Iterable[Job], n_workers: int, stop: threading.Event, done: Callable[[int], None]) -> None:
    """Do all runs of all jobs.

    :param n_workers: processes; with 1 this one.
    :param stop: set it to end early; what was done is kept.
    :param done: called with how many more runs are done.
    :raises StudyError: if a worker process was ended from outside.
    """
    if n_workers == 1:
        for job in jobs:
            for part in job.parts(1):
                done(part.do_all(stop.is_set))
        return
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    stopped = context.Event()
    with ProcessPoolExecutor(n_workers, context, _begin_worker, (stopped, os.getpid())) as pool:
        try:
            waiting: set[Future[int]] = set()
            for part in (part for job in jobs for part in job.parts(n_workers)):
                if stop.is_set():
                    break
                waiting.add(pool.submit(_work, part))
                waiting = _wait_for_room(waiting, 2 * n_workers, stop, stopped, done)
            _wait_for_room(waiting, 1, stop, stopped, done)
        except BrokenProcessPool:
            raise StudyError(
                "a worker process ended, of too little memory perhaps. The same command goes on; give it fewer --workers"
            ) from None
        finally:  # whatever ended this early ends the workers, too
            stopped.set()
            pool.shutdown(cancel_futures=True)


def _wait_for_room(
    waiting: set[Future[int]], fewer_than: int, stop: threading.Event, stopped: Event, done: Callable[[int], None]
) -> set[Future[int]]:
    """Wait until fewer parts than so many are under way; features of those that wait are in memory."""
    while len(waiting) >= fewer_than:
        finished, waiting = wait(waiting, WATCHED_S, FIRST_COMPLETED)
        if stop.is_set():
            stopped.set()
        for future in finished:
            done(future.result())
    return waiting


_stopped: Event | None = None
"""Of this worker process: whether it is to end early."""


def _begin_worker(stopped: Event, parent: int) -> None:
    """Ctrl-C is the parent's to hear; and a worker whose parent was killed ends too."""
    global _stopped  # noqa: PLW0603 - a worker process has one
    _stopped = stopped
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCHED_S)
    os._exit(1)


def _work(job: Job) -> int:
    assert _stopped is not None
    return job.do_all(_stopped.is_set)
