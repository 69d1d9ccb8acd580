"""Timing ways of doing the same against each other: in turns, many short repeats, medians with quartiles.

A machine that is shared gets slower and faster while a benchmark runs. Ways that take turns meet the same weather,
and the ratio of two ways within a round is steadier than the ratio of their times.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np

Way = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles of repeats, with the least and the number of them."""

    median: float
    q1: float
    q3: float
    least: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Of at least one value."""
        q1, median, q3 = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
        return cls(median, q1, q3, float(min(values)), len(values))

    def as_dict(self) -> dict[str, float]:
        """For the result; five digits are more than any clock here is good for."""
        return {name: value if name == "n" else float(f"{value:.5g}") for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often ways are repeated.

    :param budget_s: after it no further round begins.
    :param fewest: rounds whatever the time they take; ``most`` whatever is left of it.
    """

    fewest: int
    most: int
    budget_s: float


def take_turns(
    ways: Mapping[str, Way], rounds: Rounds, warm: Mapping[str, Way] | None = None
) -> dict[str, list[float]]:
    """Time each way once a round, after one round that is not counted.

    Every other round goes backwards, so that of two neighbours each is as often the one that comes first.

    :param warm: what is done, and not timed, before each time of a way. Else a way whose network the way before has used,
        too, finds it in the processor's cache, and another finds its own driven out.
    :returns: seconds a round of each way.
    """
    for way in ways.values():
        way()  # runtimes allocate, and choose their kernels, on the first batch
    times: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    started = time.perf_counter()
    for number in range(rounds.most):
        if number >= rounds.fewest and time.perf_counter() - started > rounds.budget_s:
            break
        for name in reversed(names) if number % 2 else names:
            if warm and name in warm:
                warm[name]()
            times[name].append(seconds(ways[name]))
    return times


def seconds(way: Way) -> float:
    """How long one call takes, without the garbage collector."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        started = time.perf_counter()
        way()
        return time.perf_counter() - started
    finally:
        if was_enabled:
            gc.enable()
