"""How many CPU threads torch computes with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

TRIALS = 3
PASSES = 10
GAIN = 0.9
"""All threads are taken if they need at most this share of one thread's time."""


@contextmanager
def cpu_threads(number: int) -> Iterator[None]:
    """So many threads for torch; the caller gets back what it had.

    :param number: 0 for one or all, whichever is faster now. Where others use the same cores, threads wait for each other at
        every layer: on two busy cores two threads were seventeen times as slow as one.
    """
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(number or _faster(before))
        yield
    finally:
        torch.set_num_threads(before)


def _faster(most: int) -> int:
    """1 or ``most``, after a trial of a second at most on idle cores."""
    if most == 1:
        return 1
    times_s = {number: min(_trial_s(number) for _ in range(TRIALS)) for number in (1, most)}
    return most if times_s[most] <= GAIN * times_s[1] else 1


def _trial_s(number: int) -> float:
    """Seconds that some convolutions take, of a size as in the middle of a small network."""
    import torch

    torch.set_num_threads(number)
    images, kernels = torch.ones(16, 32, 32, 32), torch.ones(32, 32, 3, 3)
    with torch.inference_mode():
        torch.nn.functional.conv2d(images, kernels)
        started = time.perf_counter()
        for _ in range(PASSES):
            torch.nn.functional.conv2d(images, kernels).relu_()
        return time.perf_counter() - started
