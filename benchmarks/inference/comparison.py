"""How two ways compare: the ratio of their times, what is saved, and how far that is from the most that the design can save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.timing import Spread


def floor(n_tasks: int) -> float:
    """The share of the time of T networks that one encoder saves where heads cost nothing: (T-1)/T."""
    return (n_tasks - 1) / n_tasks


@dataclass(frozen=True, slots=True)
class Comparison:
    """Seconds a round of one encoder with T heads, and of T networks, in the same rounds."""

    n_tasks: int
    shared_s: Sequence[float]
    separate_s: Sequence[float]

    @property
    def ratio(self) -> Spread:
        """Shared to separate, round by round."""
        return Spread.of([shared / separate for shared, separate in zip(self.shared_s, self.separate_s, strict=True)])

    @property
    def saved(self) -> float:
        """Share of the time that is saved, in the median round."""
        return 1 - self.ratio.median

    @property
    def short_points(self) -> float:
        """Percentage points that are missing to the floor.

        Below 0 where T networks take more than T times as long as one: their weights drive one another out of the
        processor's cache; or by noise.
        """
        return 100 * (floor(self.n_tasks) - self.saved)

    def as_dict(self, n_frames: int) -> dict[str, Any]:
        """For the result.

        :param n_frames: frames a round.
        """
        return {
            "shared_s_a_frame": Spread.of([s / n_frames for s in self.shared_s]).as_dict(),
            "ratio": self.ratio.as_dict(),
            "saved_percent": round(100 * self.saved, 3),
            "short_of_floor_points": round(self.short_points, 3),
        }
