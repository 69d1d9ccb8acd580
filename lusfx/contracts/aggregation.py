"""Aggregation: how the probabilities of a clip's frames become the clip's one score, in seconds and not in frames.

A frame rate must not change the answer, so each rule weighs a frame by how long it lasts. A clip that is shorter than
what a rule asks for is asked for its whole length; a still, which has no length, is one frame that fills its clip.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import PluginError

Values = NDArray[np.float64]


class Aggregation(ABC):
    """Base of all aggregations; a plugin may bring its own, which must then be installed wherever its models score."""

    needs_times: ClassVar[bool] = True
    """Whether frames must have known times. Where they do not, the clip is not assessable; a still always is."""

    @abstractmethod
    def __call__(self, probabilities: Values, durations_s: Values) -> float:
        """One clip's score.

        :param probabilities: ``(n,)`` of the readable frames in order, n >= 1; not to be changed.
        :param durations_s: ``(n,)`` seconds until the frame after each; above 0. A still's is 1.
        :returns: from 0 to 1; higher means that yes is likelier.
        """


@dataclass(frozen=True, slots=True)
class Mean(Aggregation):
    """The mean over time."""

    needs_times = False

    def __call__(self, probabilities: Values, durations_s: Values) -> float:
        return float(np.average(probabilities, weights=durations_s))


@dataclass(frozen=True, slots=True)
class LongestRun(Aggregation):
    """The longest unbroken run of frames at or above a probability, as a part of the seconds asked for, at most 1.

    An unreadable frame neither adds to a run nor ends it.

    :param above: probability that a frame must reach.
    :param seconds: a run of this length, or one that fills a shorter clip, scores 1.
    """

    above: float = 0.5
    seconds: float = 0.5

    def __post_init__(self) -> None:
        _require(0 < self.above <= 1, "LongestRun", "above", "above 0 and at most 1")
        _require_seconds(self.seconds, "LongestRun")

    def __call__(self, probabilities: Values, durations_s: Values) -> float:
        hit = probabilities >= self.above
        elapsed = np.concatenate([[0.0], np.cumsum(np.where(hit, durations_s, 0.0))])
        # A run began where the elapsed time of hits stood at the last miss.
        since_miss = np.maximum.accumulate(np.where(hit, 0.0, elapsed[1:]))
        longest = float((elapsed[1:] - since_miss).max())
        wanted = min(self.seconds, float(durations_s.sum()))
        return min(longest / wanted, 1.0)


@dataclass(frozen=True, slots=True)
class BestWindow(Aggregation):
    """The highest mean over time of any window of the given length; over the whole clip where that is shorter.

    :param seconds: length of the window.
    """

    seconds: float = 1.0

    def __post_init__(self) -> None:
        _require_seconds(self.seconds, "BestWindow")

    def __call__(self, probabilities: Values, durations_s: Values) -> float:
        edges = np.concatenate([[0.0], np.cumsum(durations_s)])
        window = min(self.seconds, float(edges[-1]))
        area = np.concatenate([[0.0], np.cumsum(probabilities * durations_s)])
        # The mean is piecewise linear in the window's place: its maximum has an edge of a frame at one of its ends.
        begins = np.unique(np.clip(np.concatenate([edges, edges - window]), 0.0, edges[-1] - window))
        means = (np.interp(begins + window, edges, area) - np.interp(begins, edges, area)) / window
        return float(np.clip(means.max(), 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class NoisyOr(Aggregation):
    """The chance that at least one look is a yes, where each ``seconds`` of a clip are one independent look.

    :param seconds: length of a look; a shorter clip, a still among them, is one look.
    """

    seconds: float = 1.0

    def __post_init__(self) -> None:
        _require_seconds(self.seconds, "NoisyOr")

    def __call__(self, probabilities: Values, durations_s: Values) -> float:
        looks = durations_s / min(self.seconds, float(durations_s.sum()))
        with np.errstate(divide="ignore"):  # a frame that is certain settles it
            none_is_yes = (looks * np.log1p(-np.clip(probabilities, 0.0, 1.0))).sum()
        return abs(float(np.expm1(none_is_yes)))


def frame_durations(times_s: Values, readable: NDArray[np.bool_]) -> Values | None:
    """Seconds that each readable frame lasts: until the frame after it, readable or not.

    :param times_s: ``(n_frames,)`` seconds after the first frame; NaN where unknown.
    :param readable: ``(n_frames,)``.
    :returns: ``(n_readable,)``; the last frame lasts as long as the median one. A still's one frame lasts 1. None where a
        time is unknown or frames do not follow each other.
    """
    if len(times_s) == 1:
        return np.ones(int(readable.sum()))
    steps = np.diff(times_s)
    if not (np.isfinite(steps).all() and (steps > 0).all()):
        return None
    durations: Values = np.concatenate([steps, [np.median(steps)]])[readable]
    return durations


def _require_seconds(seconds: float, rule: str) -> None:
    _require(0 < seconds < math.inf, rule, "seconds", "a finite number above 0")


def _require(holds: bool, rule: str, attribute: str, must: str) -> None:
    if not holds:
        raise PluginError(f"{rule}: '{attribute}' must be {must}")
