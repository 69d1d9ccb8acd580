"""Threads whose calls have a time: one that does not return holds up neither the run nor the program's end."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from lusfx.engine.extraction.stoppable_queue import POLL_S

Result = TypeVar("Result")

END_S = 2.0
"""How long calls that have begun are waited for in the end. A batch takes less; a thread that goes on is left behind."""


class WatchedThreads:
    """Does calls beside one another. Its threads are daemons: the interpreter's end joins none of them.

    Only the time in which somebody looks counts (:meth:`is_overdue`), so that a process that was stopped for an hour and goes
    on finds nothing overdue.

    :param n: how many threads.
    :param limit_s: what a call may take.
    """

    def __init__(self, n: int, name: str, limit_s: float) -> None:
        self.limit_s = limit_s
        self._watched_s = 0.0
        self._looked_s = time.monotonic()
        self._begun: dict[Future[Any], float] = {}
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True) for i in range(n)]
        self._are_started = False

    def submit(self, call: Callable[[], Result]) -> Future[Result]:
        """Have a call done."""
        if not self._are_started:  # most runs over an archive find nothing to encode
            self._are_started = True
            for thread in self._threads:
                thread.start()
        future: Future[Result] = Future()
        self._calls.put((future, call))
        return future

    def is_overdue(self) -> bool:
        """Whether a call has taken longer than it may; to be asked often."""
        now = time.monotonic()
        self._watched_s += min(now - self._looked_s, 2 * POLL_S)
        self._looked_s = now
        return any(self._watched_s - begun_s > self.limit_s for begun_s in list(self._begun.values()))

    def wait(self, future: Future[Any], stopping: Callable[[], bool]) -> bool:
        """Wait for a call.

        :param stopping: asked often; what it raises is raised.
        :returns: False if it is not done, and the run is stopping.
        """
        while not future.done():
            if stopping():
                return False
            wait((future,), POLL_S)
        return True

    def close(self) -> None:
        """Drop the calls that no thread has begun, and wait a little for the others."""
        while not self._calls.empty():
            try:
                self._calls.get_nowait()
            except queue.Empty:
                break
        threads = self._threads if self._are_started else []
        for _ in threads:
            self._calls.put(None)
        end_s = time.monotonic() + END_S
        for thread in threads:
            thread.join(max(0.0, end_s - time.monotonic()))

    def _work(self) -> None:
        while (job := self._calls.get()) is not None:
            future, call = job
            self._begun[future] = self._watched_s
            try:
                result = call()
            except BaseException as error:  # whoever asked for the call gets it
                future.set_exception(error)
            else:
                future.set_result(result)
            finally:
                del self._begun[future]
            del job, future, call  # they hold a batch, and the next call may be long in coming
