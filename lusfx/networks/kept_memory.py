"""Memory that a network's training frees and takes again at every layer stays with the process meanwhile."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Parameters of glibc's ``mallopt`` (malloc.h)."""
NO_TRIMMING = (1 << 31) - 1
DEFAULTS = {TRIM_THRESHOLD: 128 * 1024, MMAP_MAX: 65_536}
"""What glibc begins with (mallopt(3))."""
OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")
"""By these whoever starts the process decides."""


@contextmanager
def kept_memory() -> Iterator[bool]:
    """Freed memory is kept for what comes next; at the end it is given back to the system.

    glibc maps each large array anew and unmaps it when it is freed, so that the kernel has to clear and fault in every page of
    every layer's output, in every step. Steps of SimCLR (EfficientNet-Lite0, 128 px, 64 pairs, one thread) take half of the
    processor time without that, and more memory: arrays of many sizes leave gaps between them. See ``docs/pretraining.md``.

    Yields whether it is done: only where glibc is the C library, and nobody has set it by the environment. Elsewhere nothing
    happens.
    """
    libc = None if any(name in os.environ for name in OWN_SETTINGS) else _glibc()
    if libc is None:
        yield False
        return
    try:
        libc.mallopt(MMAP_MAX, 0)
        libc.mallopt(TRIM_THRESHOLD, NO_TRIMMING)
        yield True
    finally:
        for parameter, value in DEFAULTS.items():
            libc.mallopt(parameter, value)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The process's C library, if it is glibc."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
