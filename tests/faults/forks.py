"""Runs in processes of their own, forked from this one, which has imported what they take; ended by a signal or let be.

A run tells what it does in lines of text, through a pipe, as :func:`tell` writes them: whoever ends it reads them then.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.failing_disk import NEVER, FailingDisk

LONGEST_END_S = 120
ORPHANED_S = 30
"""On a busy machine a process may take seconds to notice that its run is no more."""

_write = os.write
"""Not the one that :class:`FailingDisk` counts: what is told is no change of the file system."""


@dataclass
class Ended:
    """How a run ended.

    :param code: exit code, negative for a signal.
    :param told: words of each line that it told.
    :param seconds: from the signal to the end of the process.
    :param orphans: its decoding processes that outlived it by more than :data:`ORPHANED_S`.
    """

    code: int
    told: list[list[str]] = field(default_factory=list)
    seconds: float = 0.0
    orphans: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def n_calls(self) -> int:
        """Calls that changed the file system, of a run that came to its end."""
        ((number,),) = self.words("calls")
        return int(number)

    @property
    def done(self) -> dict[str, Any]:
        """What an extraction that came to its end says of itself; nothing of another."""
        found = self.words("done")
        return json.loads(" ".join(found[0])) if found else {}

    def words(self, first: str) -> list[list[str]]:
        """Of each line that begins so, what follows."""
        return [words[1:] for words in self.told if words[0] == first]

    def names(self, first: str) -> set[str]:
        """Of the lines that begin so, the names that follow."""
        return {words[0] for words in self.words(first)}


def tell(pipe: int, *words: str) -> None:
    """Say something to whoever ends this run. Short lines arrive whole or not at all."""
    _write(pipe, (" ".join(words) + "\n").encode())


def run(
    do: Callable[[int], None], at: int, *, after_s: float | None = None, number: signal.Signals = signal.SIGKILL
) -> Ended:
    """Do something in a process of its own, and end it.

    :param at: the call that changes the file system at which it is killed, or :data:`NEVER`.
    :param after_s: seconds after which it is sent the signal; None to let it be.
    """
    child, reading = start(do, at)
    if after_s is not None:
        time.sleep(after_s)
        os.kill(child, number)  # not yet waited for, so nobody else has its number
    return finish(child, reading)


def start(do: Callable[[int], None], at: int = NEVER) -> tuple[int, int]:
    """Begin it; its process id, and where to read what it tells."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(do, at, writing)
    os.close(writing)
    return child, reading


def finish(child: int, reading: int) -> Ended:
    """Wait for its end."""
    asked, problems = time.monotonic(), list[str]()
    with os.fdopen(reading, "rb") as stream:
        code = _wait(child, problems)
        seconds = time.monotonic() - asked
        orphans = _orphans(child)
        os.set_blocking(stream.fileno(), False)
        told = [line.split() for line in (stream.read() or b"").decode().splitlines()]
    return Ended(code, told, seconds, orphans, problems)


def _child(do: Callable[[int], None], at: int, pipe: int) -> None:
    disk = FailingDisk(at, "killed")
    code = 1
    try:
        do(pipe)
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    except KeyboardInterrupt:
        code = 130
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    tell(pipe, "calls", str(disk.n_calls))
    os._exit(code)


def _wait(child: int, problems: list[str]) -> int:
    deadline = time.monotonic() + LONGEST_END_S
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            problems.append("it does not end")
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -signal.SIGKILL
        time.sleep(0.001)


def _orphans(parent: int) -> int:
    """Decoding processes of a parent that are there so long after it."""
    deadline = time.monotonic() + ORPHANED_S
    while (found := decoders_of(parent)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return len(found)


def decoders_of(parent: int) -> list[int]:
    """Process ids of a run's decoding processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if b"lusfx.engine.extraction.decoding.worker" in words and str(parent).encode() in words:
                found.append(int(path.parent.name))
    return found


def kill_decoder(parent: int, after_s: float) -> bool:
    """Kill the first decoding process of a run, so many seconds after it was first seen.

    :returns: whether it was still there.
    """
    deadline = time.monotonic() + LONGEST_END_S
    while not (found := decoders_of(parent)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    try:
        decoder = os.pidfd_open(found[0])  # which names that process, and none that has its number later on
    except ProcessLookupError:
        return False
    try:
        time.sleep(after_s)
        signal.pidfd_send_signal(decoder, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(decoder)
    return True
