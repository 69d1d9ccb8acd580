"""Tells which files anybody opened, libraries written in C included: Linux's inotify(7), which Python has no module for."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

IN_ACCESS, IN_OPEN = 0x1, 0x20
IN_NONBLOCK, IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
EVENT = struct.Struct("iIII")
AVAILABLE = sys.platform == "linux"


class Watch:
    """Watches files from now on.

    :param files: that exist.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._names = {}
        for file in files:
            number = self._libc.inotify_add_watch(self._descriptor, os.fsencode(file), IN_OPEN | IN_ACCESS)
            if number < 0:
                raise OSError(ctypes.get_errno(), "inotify_add_watch")
            self._names[number] = file.name

    def opened(self) -> list[str]:
        """Names of the files that were opened since it was last asked."""
        found = set()
        while True:
            try:
                content = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return sorted(found)
            place = 0
            while place < len(content):
                number, _, _, length = EVENT.unpack_from(content, place)
                found.add(self._names[number])
                place += EVENT.size + length

    def close(self) -> None:
        os.close(self._descriptor)
