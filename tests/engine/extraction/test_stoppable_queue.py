"""A queue whose ends wait for each other, and for no run that is stopping."""

from __future__ import annotations

import threading
import time

import pytest

from lusfx.engine.extraction.stoppable_queue import StoppableQueue


def never() -> bool:
    return False


@pytest.fixture
def numbers() -> StoppableQueue[int]:
    """For two."""
    return StoppableQueue(2)


def test_items_come_out_in_their_order_and_then_it_ends(numbers: StoppableQueue[int]) -> None:
    assert numbers.empty
    assert numbers.put(1, never)
    assert numbers.put(2, never)
    numbers.close()
    assert not numbers.empty
    assert not numbers.ended
    assert [numbers.get(), numbers.get(), numbers.get(), numbers.poll(9)] == [1, 2, None, None]
    assert numbers.ended


def test_there_is_room_for_so_many_only(numbers: StoppableQueue[int]) -> None:
    assert [numbers.offer(number) for number in range(3)] == [True, True, False]
    assert numbers.poll() == 0
    assert numbers.offer(3)


def test_nothing_is_there_yet(numbers: StoppableQueue[int]) -> None:
    assert numbers.poll() is None
    assert numbers.poll(0.01) is None
    assert not numbers.ended


def test_all_of_many_pass_through_little_room(numbers: StoppableQueue[int]) -> None:
    taken: list[int] = []

    def take() -> None:
        while (number := numbers.get()) is not None:
            taken.append(number)

    taker = threading.Thread(target=take, daemon=True)
    taker.start()
    assert all(numbers.put(number, never) for number in range(500))
    numbers.close()
    taker.join(timeout=10)
    assert taken == list(range(500))


def test_whoever_waits_is_let_go_when_the_run_stops(numbers: StoppableQueue[int]) -> None:
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    assert numbers.get(stop.is_set) is None
    stop.clear()
    assert numbers.offer(1)
    assert numbers.offer(2)
    threading.Timer(0.05, stop.set).start()
    assert not numbers.put(3, stop.is_set)
    assert numbers.get(stop.is_set) is None  # though there is something: a run that stops does nothing more
    assert [numbers.get(), numbers.get()] == [1, 2]


def test_whoever_waits_for_an_item_is_let_go_when_it_is_closed(numbers: StoppableQueue[int]) -> None:
    started = time.monotonic()
    threading.Timer(0.05, numbers.close).start()
    assert numbers.poll(60) is None
    assert time.monotonic() - started < 30
