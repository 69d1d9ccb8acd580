"""Which frames of a clip are encoded, where so many a second are asked for: chosen by their times, never by counting."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from statistics import median
from typing import Self

LATER = 1e-6
"""Of two frames that are equally near, the later one is taken: rounding is less than this share of a step."""


class FrameSampler:
    """Takes the first frame of a clip, then each that is the first at or after the next multiple of ``1 / fps`` seconds.

    The multiples are counted from the first time that is known. A frame that is less than half a step before one counts as at
    it: so the nearest frame is taken, nothing drifts, and times that were rounded or that tremble change nothing. A steady
    clip of no more than ``fps`` frames a second gives all of them. A frame whose time is not known is taken: nobody can say
    that it is too many.

    :param fps: frames a second that are taken at most, in the long run.
    :param step_s: the clip's own step from frame to frame.
    """

    def __init__(self, fps: float, step_s: float) -> None:
        self._period_s = 1 / fps
        self._early_s = min(step_s, self._period_s) / 2 * (1 - LATER)
        # Of a clip whose rate is near the one asked for, one may come half a step late as well, or the next would be lost.
        self._late_s = self._early_s if 2 * step_s > self._period_s else -self._early_s
        self._first_s: float | None = None
        self._next = 0

    @classmethod
    def of(cls, times_s: Iterable[float], fps: float) -> Self:
        """The sampler of a clip.

        :param times_s: of its frames, in order; NaN where unknown. What is usual among them is the clip's step.
        """
        known = [time_s for time_s in times_s if math.isfinite(time_s)]
        steps_s = [later - earlier for earlier, later in pairwise(known) if later > earlier]
        return cls(fps, median(steps_s) if steps_s else math.inf)

    def takes(self, time_s: float) -> bool:
        """Whether the next frame is taken; to be asked of each, in order.

        :param time_s: seconds; NaN where unknown.
        """
        if not math.isfinite(time_s):
            return True
        if self._first_s is None:
            self._first_s = time_s
        elapsed_s = time_s - self._first_s
        if elapsed_s + self._early_s < self._next * self._period_s:
            return False
        reached = math.floor((elapsed_s - self._late_s) / self._period_s)  # after a pause no frames are owed
        self._next = max(self._next, reached) + 1
        return True
