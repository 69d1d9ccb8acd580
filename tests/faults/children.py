"""Trials in processes of their own, so that one that crashes, hangs or is killed is noticed, counted, and ends no other.

A child is a module that is given the numbers of its trials, says ``begin NUMBER`` before each, and one line of JSON after it.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
STARTING_S = 120


@dataclass(frozen=True)
class Trial:
    """What became of one trial.

    :param ended: ``well`` where the child lived to tell, else ``died`` or ``hung``.
    :param facts: what the child told; of one that died, its exit status and last words.
    """

    number: int
    ended: str
    facts: dict[str, Any]


def run_trials(
    module: str, arguments: Sequence[object], n_trials: int, *, longest_s: float = 30, n_children: int = 1
) -> Iterator[Trial]:
    """Run ``python -m MODULE ARGUMENTS FIRST END`` until every trial has had its turn.

    :param longest_s: a trial that takes longer hangs.
    :param n_children: which share the trials, each of them a run of numbers, and are at work at the same time.
    """
    ends = [n_trials * (child + 1) // n_children for child in range(n_children)]
    shares = zip([0, *ends], ends, strict=False)
    if n_children == 1:
        yield from _run_share(module, arguments, 0, n_trials, longest_s)
        return
    with ThreadPoolExecutor(n_children) as threads:
        done = [
            threads.submit(lambda share: list(_run_share(module, arguments, *share, longest_s)), one) for one in shares
        ]
        for share in done:
            yield from share.result()


def _run_share(module: str, arguments: Sequence[object], first: int, end: int, longest_s: float) -> Iterator[Trial]:
    """One child after the other: each that ends early is followed by another."""
    while first < end:
        for trial in _run_child(module, arguments, first, end, longest_s):
            first = trial.number + 1
            yield trial


def environment() -> dict[str, str]:
    """Of a child: one thread a library, since the tests run beside others."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return os.environ | threads | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}


def _run_child(module: str, arguments: Sequence[object], first: int, end: int, longest_s: float) -> Iterator[Trial]:
    """Trials up to the last one, or to the first that ended the child."""
    command = [sys.executable, "-m", module, *map(str, arguments), str(first), str(end)]
    with tempfile.TemporaryFile("w+b") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment(), text=True)
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        assert child.stdout is not None
        threading.Thread(target=_pump, args=(child.stdout, lines), daemon=True).start()
        running: int | None = None
        ended = "died"
        try:
            while True:
                line = lines.get(timeout=STARTING_S if running is None else longest_s)
                if line is None:
                    break
                if line.startswith("begin "):
                    running = int(line.split()[1])
                elif running is not None:
                    yield Trial(running, "well", json.loads(line))
                    if running + 1 == end:
                        return
                    running = None
        except queue.Empty:
            ended = "hung"
        finally:
            child.kill()
            status = child.wait()
            child.stdout.close()
        errors.seek(0)
        last_words = errors.read()[-2000:].decode("utf-8", "replace")
        if running is None:
            raise RuntimeError(f"the child {ended} outside a trial, status {status}: {last_words}")
        yield Trial(running, ended, {"status": status, "last_words": last_words})


def _pump(stream: IO[str], lines: queue.SimpleQueue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)
