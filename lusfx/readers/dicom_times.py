"""When each frame of a DICOM clip was taken (PS3.3 C.7.6.5 Cine, C.8.5.6 US Multi-frame)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.types import Note, TimeSource

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """Times of a clip's frames.

    :param source: where they come from.
    :param step_s: seconds between frames; NaN where unknown or uneven.
    :param vector_s: the time of each frame where the steps are uneven.
    """

    source: TimeSource
    step_s: float = math.nan
    vector_s: NDArray[np.float64] | None = None

    def of(self, index: int) -> float:
        """Seconds from the first frame to this one; NaN where unknown."""
        if index == 0:
            return 0.0
        if self.vector_s is not None:
            return float(self.vector_s[index]) if index < len(self.vector_s) else math.nan
        return index * self.step_s

    @property
    def notes(self) -> frozenset[Note]:
        return frozenset({Note.FRAME_TIMES_UNKNOWN}) if self.source is TimeSource.UNKNOWN else frozenset()


def frame_times(dataset: Dataset, n_declared: int) -> FrameTimes:
    """Take the most exact source that makes sense: FrameTimeVector, FrameTime, CineRate, RecommendedDisplayFrameRate.

    :param n_declared: a vector shorter than this is not believed.
    """
    if n_declared == 1:
        return FrameTimes(TimeSource.STILL)
    vector = dataset.get("FrameTimeVector")  # increments in milliseconds, the first of them 0
    if vector is not None:
        steps_ms = np.atleast_1d(np.array(vector, np.float64))
        if len(steps_ms) >= n_declared and np.isfinite(steps_ms).all() and (steps_ms[1:] > 0).all():
            times_s = np.cumsum(steps_ms) / 1000
            return FrameTimes(TimeSource.FRAME_TIME_VECTOR, vector_s=times_s - times_s[0])
    if (frame_time_ms := _positive(dataset, "FrameTime")) is not None:
        return FrameTimes(TimeSource.FRAME_TIME, step_s=frame_time_ms / 1000)
    if (cine_rate := _positive(dataset, "CineRate")) is not None:
        return FrameTimes(TimeSource.CINE_RATE, step_s=1 / cine_rate)
    if (display_rate := _positive(dataset, "RecommendedDisplayFrameRate")) is not None:
        return FrameTimes(TimeSource.RECOMMENDED_DISPLAY_FRAME_RATE, step_s=1 / display_rate)
    return FrameTimes(TimeSource.UNKNOWN)


def _positive(dataset: Dataset, keyword: str) -> float | None:
    """A value above 0; None where it is missing, several, or no such number."""
    try:
        value = float(dataset.get(keyword))
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and value > 0 else None
