"""The cores of this machine, as far as they are ours."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Cores that this process may use, which a scheduler may have made fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
