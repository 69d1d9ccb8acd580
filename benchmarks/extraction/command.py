"""The command as a user starts it: how long to its first embedding, and how much memory all its processes take."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.005
MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Start:
    """One run of the command.

    :param first_s: from its start to the first clip that is durable in the cache.
    :param peak_mb: most memory that all its processes had together, a page that several share counted once; None where the
        system does not tell.
    """

    first_s: float
    peak_mb: float | None


def start(clips: Path, cache: Path, encoder: str, device: str, watch_memory: bool = False) -> Start:
    """Run ``lusfx extract`` on an empty cache to its end.

    :param watch_memory: look at its processes all the while, which takes some of the processor from them.
    """
    words = [sys.executable, "-m", "lusfx", "extract", str(clips), "--cache", str(cache), "--encoder", encoder]
    environment = os.environ | {"LUSFX_HOME": str(cache.with_name("home"))}
    started = time.perf_counter()
    with subprocess.Popen([*words, "--device", device], stdout=subprocess.DEVNULL, env=environment) as process:
        first_s = peak = None
        while process.poll() is None:
            if first_s is None and any(cache.glob("*/clips/*/*.h5")):
                first_s = time.perf_counter() - started
            if watch_memory:
                peak = max(peak or 0, _memory(process.pid)) or None
            time.sleep(POLL_S)
    assert process.returncode == 0
    return Start(first_s or time.perf_counter() - started, None if peak is None else peak / MEGABYTE)


def _memory(pid: int) -> int:
    """Proportional set size, in bytes, of a process and of those that it started; 0 where there is no ``/proc``."""
    total = 0
    for process in [pid, *_children(pid)]:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, listed.read_text(encoding="ascii").split())
        except OSError:
            continue
    return found
