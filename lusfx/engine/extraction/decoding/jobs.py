"""What there is to decode: filled by the thread that hashes, emptied by the thread that decodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from lusfx.engine.extraction.sources import Source
from lusfx.engine.extraction.stoppable_queue import StoppableQueue
from lusfx.plain_file import Stamp


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A source to decode.

    :param key: of its content.
    :param stamp: of the file whose content was hashed, which is the one that is to be decoded; None where none was.
    :param drawn_frame: the frame, from 0, that is to be drawn for a person; None where the clip is to be decoded.
    """

    source: Source
    key: str
    stamp: Stamp | None
    drawn_frame: int | None = None


class Jobs:
    """A queue of jobs that ends. Of sources with the same content one is decoded; the others wait for what becomes of it.

    :param ahead: jobs that may wait in it.
    :param copy: called, by the thread that takes, with a job whose content was decoded in another.
    """

    def __init__(self, ahead: int, copy: Callable[[Job], None]) -> None:
        self._queue: StoppableQueue[Job] = StoppableQueue(ahead)
        self._copy = copy
        self._again: deque[Job] = deque()
        self._waiting: dict[str, list[Job]] = {}
        self._decoded: set[str] = set()

    def put(self, job: Job, stopping: Callable[[], bool]) -> bool:
        """Add a job; wait for room.

        :returns: False if the run is stopping and nothing was added.
        """
        return self._queue.put(job, stopping)

    def close(self) -> None:
        """Say that there are no more."""
        self._queue.close()

    def take(self, wait_s: float = 0.0) -> Job | None:
        """The next job; None if there is none yet, or no more. It is the taker's until :meth:`ended` or :meth:`put_back`."""
        if self._again:
            return self._again.popleft()
        while (job := self._queue.poll(wait_s)) is not None:
            if job.key in self._decoded:
                self._copy(job)
            elif job.key in self._waiting:
                self._waiting[job.key].append(job)
            else:
                self._waiting[job.key] = []
                return job
        return None

    def put_back(self, job: Job) -> None:
        """Have a job done that was taken and not begun."""
        self._again.append(job)

    def ended(self, job: Job, decoded: bool) -> None:
        """Tell what became of a job that was taken. Where it failed, the next with its content is tried."""
        waiting = self._waiting.pop(job.key)
        if decoded:
            self._decoded.add(job.key)
            for copy in waiting:
                self._copy(copy)
        elif waiting:
            self._waiting[job.key] = waiting[1:]
            self._again.append(waiting[0])

    @property
    def finished(self) -> bool:
        """Whether nothing is left to take; a job that fails may yet leave another."""
        return self._queue.ended and not self._again
