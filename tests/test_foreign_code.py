"""What foreign code raises is its own affair; what a person or a scheduler asks for ends the program all the same."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import pytest

from lusfx.foreign_code import ForeignCodeError, call_foreign


def raising(error: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


ERRORS = [ValueError("x"), KeyboardInterrupt(), SystemExit(3), GeneratorExit(), MemoryError(), BaseException()]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_whatever_it_raises_is_its_own_error(error: BaseException) -> None:
    with pytest.raises(ForeignCodeError, match=type(error).__name__) as caught:
        call_foreign(raising(error))
    assert caught.value.cause is error


def caught_by_the_code() -> None:
    with suppress(BaseException):
        signal.raise_signal(signal.SIGINT)


def turned_into_another() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        sys.exit(4)


STOPPED = [lambda: signal.raise_signal(signal.SIGINT), caught_by_the_code, turned_into_another]


@pytest.mark.parametrize("code", STOPPED)
def test_a_real_interrupt_ends_the_program_whatever_the_code_makes_of_it(code: Callable[[], None]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        call_foreign(code)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_somebody_listens_to_reaches_them_and_nothing_else() -> None:
    stop = threading.Event()

    def listening(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = signal.signal(signal.SIGINT, listening)
    try:
        assert call_foreign(lambda: (signal.raise_signal(signal.SIGINT), stop.is_set())[1])
        assert signal.getsignal(signal.SIGINT) is listening
        with pytest.raises(ForeignCodeError):
            call_foreign(raising(KeyboardInterrupt()))
    finally:
        signal.signal(signal.SIGINT, before)


def test_it_is_called_in_any_thread() -> None:
    found: list[object] = []

    def run() -> None:
        found.append(call_foreign(lambda: 3))
        try:
            call_foreign(raising(KeyboardInterrupt()))
        except ForeignCodeError as error:
            found.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [3, "KeyboardInterrupt"]
