"""How the program ends where something goes on that would not let it."""

from __future__ import annotations

import _thread
import contextlib
import os
import sys
import threading
from typing import NoReturn

LAST_WORDS_S = 0.5
"""What a program that ends at once takes to say so: the pipe that it says it to may be full."""
RUN_THREADS = "lusfx-"
"""What the names of a run's threads begin with."""


def end(code: object) -> NoReturn:
    """End the program; without the interpreter's tidying up, where a thread goes on that a run has left behind.

    An encoder that does not return computes with what would be taken away beneath it, and the program would crash.
    """
    if any(thread.name.startswith(RUN_THREADS) for thread in threading.enumerate()):
        end_at_once(code if isinstance(code, int) else int(code is not None))
    sys.exit(code)  # type: ignore[arg-type] # what click or a command gave


def end_at_once(exit_code: int, last_words: str = "") -> NoReturn:
    """End the program without waiting for a thread, a lock or a pipe; its decoding processes end with it.

    What it leaves on disk is what ``kill -9`` leaves: whole files, and temporary ones that ``lusfx cache gc`` removes.
    """
    said = _thread.allocate_lock()
    said.acquire()

    def say() -> None:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        with contextlib.suppress(Exception):
            sys.stderr.flush()
            os.write(sys.stderr.fileno(), f"{last_words}\n".encode() if last_words else b"")
        said.release()

    # In a bare thread: whatever this one was interrupted in may hold the streams' locks, or those of the module threading.
    with contextlib.suppress(Exception):
        _thread.start_new_thread(say, ())
        said.acquire(timeout=LAST_WORDS_S)
    os._exit(exit_code)
