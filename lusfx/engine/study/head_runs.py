"""Runs of heads on frozen features: fit one, score, keep the scores; many of them, in this process or in others."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np

from lusfx.contracts import Aggregation
from lusfx.engine.learner import Candidate, fit_head
from lusfx.engine.samples import Samples
from lusfx.engine.study.config import TRAIN
from lusfx.engine.study.plan import Run
from lusfx.engine.study.run_store import RunStore, Scores, StudyError
from lusfx.engine.study.units import AskedUnits
from lusfx.errors import TrainingRefusedError
from lusfx.task_model import UnitFeatures, raw_scores

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

CHUNKS_A_WORKER = 4
WATCHED_S = 0.5
LIBRARIES = ("numpy", "scikit-learn", "lightgbm", "scipy")


@cache
def versions() -> dict[str, str]:
    """Of the libraries that heads are fitted with: provenance of a run's scores."""
    return {name: metadata.version(name) for name in LIBRARIES}


@dataclass(frozen=True, slots=True)
class HeadJob:
    """Runs that differ in their splits alone.

    :param samples: of each table, in the order of the question's units.
    :param outcome: position among the task's outcomes.
    :param units: of each test set, as the run's rows count them.
    """

    candidate: Candidate
    aggregation: Aggregation | None
    frames_per_unit: int
    outcome: int
    samples: Mapping[str, Samples[UnitFeatures]]
    units: Mapping[str, AskedUnits]
    runs: Sequence[Run]
    store: RunStore

    def do(self, run: Run) -> Scores:
        """Train on the run's patients and score its test units."""
        started = time.perf_counter()
        training = self.samples[TRAIN].take(run.split.train)
        of_test, refused = {}, None
        try:
            head = fit_head(
                self.candidate,
                training,
                training.targets[:, self.outcome],
                self.aggregation,
                self.frames_per_unit,
                run.seed,
            )
            for name, rows in run.split.tests.items():
                tested = self.samples.get(name, self.samples[TRAIN]).units.take(rows)
                of_test[name] = raw_scores(head, tested, self.aggregation)
        except TrainingRefusedError as error:
            of_test, refused = {}, str(error)
        return Scores(of_test, refused, time.perf_counter() - started)

    def do_all(self, should_stop: Callable[[], bool]) -> int:
        """Do the runs one by one, each durable before the next; returns how many were done."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            for number, run in enumerate(self.runs):
                if should_stop():
                    return number
                self.store.write(run, self.units, self.do(run), versions())
        return len(self.runs)

    def chunks(self, n_workers: int) -> Iterator[HeadJob]:
        """The same work in parts that several workers can share."""
        for rows in np.array_split(np.arange(len(self.runs)), min(len(self.runs), CHUNKS_A_WORKER * n_workers)):
            yield replace(self, runs=[self.runs[row] for row in rows.tolist()])


def do_jobs(jobs: Iterable[HeadJob], n_workers: int, stop: threading.Event, done: Callable[[int], None]) -> None:
    """Do all runs of all jobs.

    :param n_workers: processes; with 1 this one.
    :param stop: set it to end early: each worker then ends with the run in hand, which is kept.
    :param done: called with how many more runs are done.
    """
    if n_workers == 1:
        for job in jobs:
            for part in job.chunks(max(1, len(job.runs))):
                done(part.do_all(stop.is_set))
        return
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    stopped = context.Event()
    with ProcessPoolExecutor(n_workers, context, _begin_worker, (stopped, os.getpid())) as pool:
        try:
            waiting: set[Future[int]] = set()
            for part in (part for job in jobs for part in job.chunks(n_workers)):
                if stop.is_set():
                    break
                waiting.add(pool.submit(_work, part))
                waiting = _settled(waiting, 2 * n_workers, stop, stopped, done)
            _settled(waiting, 1, stop, stopped, done)
        except BrokenProcessPool:
            raise StudyError(
                "a worker process ended, of too little memory perhaps. The same command goes on; give it fewer --workers"
            ) from None
        finally:  # whatever ended this early ends the workers, too
            stopped.set()
            pool.shutdown(cancel_futures=True)


def _settled(
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


def _work(job: HeadJob) -> int:
    assert _stopped is not None
    return job.do_all(_stopped.is_set)
