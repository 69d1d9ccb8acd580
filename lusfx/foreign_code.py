"""Foreign code: what a plugin raises, prints or changes of the interpreter while it is called stays its own affair."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType
from typing import TypeVar

T = TypeVar("T")


class ForeignCodeError(Exception):
    """Foreign code raised something.

    :param cause: which may be of any kind, ``SystemExit`` and ``KeyboardInterrupt`` too.
    """

    def __init__(self, cause: BaseException) -> None:
        super().__init__(type(cause).__name__)
        self.cause = cause


def call_foreign(function: Callable[[], T]) -> T:
    """Call foreign code. What it prints goes to the error stream; recursion limit and handlers of signals stay as they were.

    :raises ForeignCodeError: whatever it raises.
    :raises KeyboardInterrupt: if somebody stopped the program meanwhile, whatever the code made of that. One that the code
        itself raises is its own error.
    """
    limit = sys.getrecursionlimit()
    with _stops() as stopped, redirect_stdout(sys.stderr):
        try:
            return function()
        except BaseException as error:
            sys.setrecursionlimit(limit)  # first of all: with a lower one nothing more may be called
            if stopped.is_set():
                raise KeyboardInterrupt from None
            raise ForeignCodeError(error) from error
        finally:
            sys.setrecursionlimit(limit)


@contextmanager
def _stops() -> Iterator[threading.Event]:
    """Set once a handler of signals raised KeyboardInterrupt, which then is a person's or a scheduler's."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # no signal is handled here
        yield stopped
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def noted(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        try:
            if callable(handler):
                handler(number, frame)
        except KeyboardInterrupt:
            stopped.set()
            raise

    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, noted)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            if handler is not None:  # else it was set in C, and cannot be set again
                signal.signal(number, handler)
    if stopped.is_set():  # the code caught it
        raise KeyboardInterrupt
