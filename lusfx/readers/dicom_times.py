"""When each frame of a DICOM clip was taken (PS3.3 C.7.6.5 Cine, C.8.5.6 US Multi-frame)."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.readers.dicom_values import Decimals
from lusfx.types import Note, TimeSource

if TYPE_CHECKING:
    from pydicom import Dataset

RATES = {
    "CineRate": TimeSource.CINE_RATE,
    "RecommendedDisplayFrameRate": TimeSource.RECOMMENDED_DISPLAY_FRAME_RATE,
}
"""Frames a second, after FrameTimeVector and FrameTime, which are in milliseconds."""
STEPS_S = (0.001, 10.0)
"""No cine has frames that are closer or further apart: such a step is in another unit."""
USUAL_STEPS_S = (1 / 200, 1 / 2)
"""What a step must come to where its unit is guessed from nothing but its size."""
UNITS = (1000.0, 0.001)
"""A step in seconds, and one in microseconds, where the standard has milliseconds."""
SAME = 1.2
"""Two sources state the same step where they differ by a smaller factor: a display rate is a rounded one."""
ALIKE = 4.0
"""Two steps of one clip differ by a smaller factor, though it may be shown faster or slower than it was taken."""


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """Times of a clip's frames.

    :param source: where they come from.
    :param step_s: seconds between frames; NaN where unknown or uneven.
    :param vector_s: the time of each frame where the steps are uneven.
    :param corrected: whether they were written otherwise than the standard says.
    """

    source: TimeSource
    step_s: float = math.nan
    vector_s: NDArray[np.float64] | None = None
    corrected: bool = False

    def of(self, index: int) -> float:
        """Seconds from the first frame to this one; NaN where unknown."""
        if index == 0:
            return 0.0
        if self.vector_s is not None:
            return float(self.vector_s[index]) if index < len(self.vector_s) else math.nan
        return index * self.step_s

    @property
    def notes(self) -> frozenset[Note]:
        if self.source is TimeSource.UNKNOWN:
            return frozenset({Note.FRAME_TIMES_UNKNOWN})
        return frozenset({Note.FRAME_TIMES_CORRECTED} if self.corrected else ())


def frame_times(dataset: Dataset, n_frames: int) -> FrameTimes:
    """Take the most exact source that makes sense: FrameTimeVector, FrameTime, CineRate, RecommendedDisplayFrameRate.

    What cannot be in the standard's unit is read in another one where the less exact sources, or else its size, leave one
    choice.

    :param n_frames: a vector that is shorter by more than its leading zero is not believed.
    """
    if n_frames == 1:
        return FrameTimes(TimeSource.STILL)
    even = [found for keyword, source in RATES.items() if (found := _of_rate(Decimals.of(dataset, keyword), source))]
    by_frame_time = _of_frame_time(Decimals.of(dataset, "FrameTime"), [times.step_s for times in even])
    even = [by_frame_time, *even] if by_frame_time else even
    uneven = _of_vector(Decimals.of(dataset, "FrameTimeVector"), n_frames, [times.step_s for times in even])
    return uneven or next(iter(even), FrameTimes(TimeSource.UNKNOWN))


def _of_rate(rate: Decimals, source: TimeSource) -> FrameTimes | None:
    """Times by frames a second; None where they are none that a cine has."""
    per_second = rate.single
    if per_second is None or not 1 / STEPS_S[1] <= per_second <= 1 / STEPS_S[0]:
        return None
    return FrameTimes(source, step_s=1 / per_second, corrected=rate.with_comma)


def _of_frame_time(frame_time: Decimals, known_s: Collection[float]) -> FrameTimes | None:
    """Times by FrameTime, the milliseconds between frames; None where it makes no sense."""
    step_s, in_other_unit = _in_sense((frame_time.single or math.nan) / 1000, known_s)
    if step_s is None:
        return None
    return FrameTimes(TimeSource.FRAME_TIME, step_s=step_s, corrected=in_other_unit or frame_time.with_comma)


def _of_vector(vector: Decimals, n_frames: int, known_s: Collection[float]) -> FrameTimes | None:
    """Times by FrameTimeVector, the increments of time before each frame; None where it makes no sense."""
    steps_ms = np.array(vector.values)
    lacks_first = len(steps_ms) == n_frames - 1
    if lacks_first:
        steps_ms = np.concatenate([[0.0], steps_ms])
    is_moved = len(steps_ms) == n_frames and steps_ms[0] > 0 and steps_ms[-1] == 0
    if is_moved:  # each step is behind its frame
        steps_ms = np.roll(steps_ms, 1)
    if len(steps_ms) < n_frames or not (np.isfinite(steps_ms[1:]).all() and (steps_ms[1:] > 0).all()):
        return None
    steps_ms[0] = np.nan_to_num(steps_ms[0])
    is_running = _are_times(steps_ms[:n_frames] / 1000, known_s)
    if is_running:
        steps_ms = np.diff(steps_ms, prepend=steps_ms[0])
    usual_s = float(np.median(steps_ms[1:])) / 1000
    step_s, in_other_unit = _in_sense(usual_s, known_s)
    if step_s is None:
        return None
    times_s = np.cumsum(steps_ms) / 1000
    corrected = in_other_unit or lacks_first or is_moved or is_running or vector.with_comma
    return FrameTimes(
        TimeSource.FRAME_TIME_VECTOR, vector_s=(times_s - times_s[0]) * (step_s / usual_s), corrected=corrected
    )


def _are_times(values_s: NDArray[np.float64], known_s: Collection[float]) -> bool:
    """Whether a vector has times and no steps: they rise without end, by what other sources say that a step is."""
    steps_s = np.diff(values_s)
    if values_s[0] != 0 or len(steps_s) < 2 or not (steps_s > 0).all():
        return False
    usual_s, as_steps_s = float(np.median(steps_s)), float(np.median(values_s[1:]))
    return any(_within(SAME, usual_s, known) and not _within(SAME, as_steps_s, known) for known in known_s)


def _in_sense(step_s: float, known_s: Collection[float]) -> tuple[float | None, bool]:
    """A step between frames in the unit that makes sense, None where none does; and whether it is another than stated.

    :param known_s: the same step by other sources.
    """
    if not (math.isfinite(step_s) and step_s > 0):
        return None, False
    in_units = [step_s * unit for unit in UNITS]
    if STEPS_S[0] <= step_s <= STEPS_S[1]:
        if any(_within(SAME, step_s, known) for known in known_s):
            return step_s, False
        meant = [other for other in in_units if any(_within(SAME, other, known) for known in known_s)]
        return (meant[0], True) if meant else (step_s, False)
    for other in in_units:
        if any(_within(ALIKE, other, known) for known in known_s):
            return other, True
        if not known_s and USUAL_STEPS_S[0] <= other <= USUAL_STEPS_S[1]:
            return other, True
    return None, False


def _within(factor: float, step_s: float, other_s: float) -> bool:
    return 1 / factor < step_s / other_s < factor
