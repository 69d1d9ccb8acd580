"""A queue between the threads of a run that may be stopped at any time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

POLL_S = 0.1
"""How often whoever waits looks whether the run is stopping: anybody may stop it, and need not know who waits."""


class StoppableQueue(Generic[Item]):
    """A queue of limited length that can be closed. Waiting, at either end, is given up when the run stops.

    :param size: items that may wait in it.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[Item] = deque()
        self._closed = False
        self._changed = threading.Condition()

    @property
    def empty(self) -> bool:
        return not self._items

    @property
    def ended(self) -> bool:
        """Whether it is closed, and nothing is left in it."""
        with self._changed:
            return self._closed and not self._items

    def put(self, item: Item, stopping: Callable[[], bool]) -> bool:
        """Add an item; wait for room.

        :returns: False if the run is stopping and nothing was added.
        """
        while not stopping():
            if self.offer(item, POLL_S):
                return True
        return False

    def offer(self, item: Item, wait_s: float = 0.0) -> bool:
        """Add an item if there is room within so many seconds; returns whether it was added."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._items) < self._size, wait_s):
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self, stopping: Callable[[], bool] = lambda: False) -> Item | None:
        """Take the next item; wait for one.

        :returns: None if the run is stopping, or the queue has ended.
        """
        while not stopping() and not self.ended:
            item = self.poll(POLL_S)
            if item is not None:
                return item
        return None

    def poll(self, wait_s: float = 0.0) -> Item | None:
        """Take the next item if there is one within so many seconds; None if not."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, wait_s)
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Say that nothing more will be put; what is in it can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
