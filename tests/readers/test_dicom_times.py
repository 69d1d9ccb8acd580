"""Times of frames where they are written in another unit or form than the standard's, or make no sense."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydicom import Dataset

from lusfx.readers.dicom_times import FrameTimes, frame_times
from lusfx.types import Note, TimeSource

CORRECTED, UNKNOWN = frozenset({Note.FRAME_TIMES_CORRECTED}), frozenset({Note.FRAME_TIMES_UNKNOWN})
TAGS = {
    "FrameTime": 0x00181063,
    "FrameTimeVector": 0x00181065,
    "CineRate": 0x00180040,
    "RecommendedDisplayFrameRate": 0x00082144,
}


def of(n_frames: int = 4, **values: str) -> FrameTimes:
    """Times by elements of any text, which pydicom would refuse as decimals."""
    dataset = Dataset()
    for keyword, value in values.items():
        dataset.add_new(TAGS[keyword], "UT", value)
    return frame_times(dataset, n_frames)


def seconds(times: FrameTimes, n_frames: int = 4) -> list[float]:
    return [times.of(index) for index in range(n_frames)]


@pytest.mark.parametrize(
    ("text", "step_s", "notes"),
    [
        ("33.3", 0.0333, frozenset()),
        ("33,3", 0.0333, CORRECTED),
        ("40\\40", 0.04, frozenset()),
        (" 40 \0", 0.04, frozenset()),
        ("0.0333", 0.0333, CORRECTED),  # seconds
        ("0,0333", 0.0333, CORRECTED),
        ("0.2", 0.2, CORRECTED),
        ("33333", 0.033333, CORRECTED),  # microseconds
        ("1", 0.001, frozenset()),
        ("2500", 2.5, frozenset()),
    ],
)
def test_frame_time(text: str, step_s: float, notes: frozenset[Note]) -> None:
    times = of(FrameTime=text)
    assert times.source is TimeSource.FRAME_TIME
    assert seconds(times) == pytest.approx([index * step_s for index in range(4)])
    assert times.notes == notes


@pytest.mark.parametrize(
    "text", ["", "0", "-40", "soon", "40\\50", "1e999", "nan", "inf", "0.9", "0.0000001", "1,000,000"]
)
def test_a_frame_time_without_sense(text: str) -> None:
    assert of(FrameTime=text).notes == UNKNOWN
    by_rate = of(FrameTime=text, CineRate="25")
    assert by_rate.source is TimeSource.CINE_RATE
    assert by_rate.step_s == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("frame_time", "rate", "step_s", "notes"),
    [
        ("0.04", "30", 0.04, CORRECTED),
        ("0.02", "15", 0.02, CORRECTED),  # shown more slowly than it was taken
        ("33", "25", 0.033, frozenset()),
        ("33", "5", 0.033, frozenset()),
        ("2", "1", 0.002, frozenset()),
        ("40000", "25", 0.04, CORRECTED),
        ("1.0", "1", 1.0, CORRECTED),
    ],
)
def test_a_frame_time_beside_a_rate(frame_time: str, rate: str, step_s: float, notes: frozenset[Note]) -> None:
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        times = of(4, **{"FrameTime": frame_time, keyword: rate})
        assert times.source is TimeSource.FRAME_TIME
        assert times.step_s == pytest.approx(step_s)
        assert times.notes == notes


def test_a_frame_time_in_another_unit_that_contradicts_the_rate_is_passed_over() -> None:
    assert of(FrameTime="0.4", CineRate="50").source is TimeSource.CINE_RATE


@pytest.mark.parametrize(
    ("text", "expected_s", "notes"),
    [
        ("0\\33\\33\\33", [0, 0.033, 0.066, 0.099], frozenset()),
        ("0\\10\\20\\30", [0, 0.01, 0.03, 0.06], frozenset()),
        ("33\\33\\33\\33", [0, 0.033, 0.066, 0.099], frozenset()),
        ("\\33\\33\\33", [0, 0.033, 0.066, 0.099], frozenset()),
        ("0\\33\\33\\33\\33\\33", [0, 0.033, 0.066, 0.099], frozenset()),
        ("0\\33,5\\33,5\\33,5", [0, 0.0335, 0.067, 0.1005], CORRECTED),
        ("33\\34\\33", [0, 0.033, 0.067, 0.1], CORRECTED),  # nothing before the first frame
        ("33\\34\\33\\0", [0, 0.033, 0.067, 0.1], CORRECTED),  # each behind its frame
        ("0\\0.033\\0.034\\0.033", [0, 0.033, 0.067, 0.1], CORRECTED),  # seconds
        ("0\\33000\\34000\\33000", [0, 0.033, 0.067, 0.1], CORRECTED),  # microseconds
    ],
)
def test_a_vector(text: str, expected_s: list[float], notes: frozenset[Note]) -> None:
    times = of(FrameTimeVector=text)
    assert times.source is TimeSource.FRAME_TIME_VECTOR
    assert seconds(times) == pytest.approx(expected_s)
    assert times.notes == notes


@pytest.mark.parametrize(
    "text", ["", "0\\0\\0\\0", "0\\33\\-33\\33", "0\\33\\x\\33", "0\\33\\\\33", "33", "0\\33", "0\\1e-9\\1e-9\\1e-9"]
)
def test_a_vector_without_sense(text: str) -> None:
    assert of(FrameTimeVector=text).notes == UNKNOWN
    assert of(FrameTimeVector=text, FrameTime="50").source is TimeSource.FRAME_TIME


def test_a_vector_in_seconds_is_known_by_the_rate() -> None:
    times = of(FrameTimeVector="0\\1\\1\\1", CineRate="1")
    assert seconds(times) == pytest.approx([0, 1, 2, 3])
    assert times.notes == CORRECTED


@pytest.mark.parametrize(("text", "rate"), [("29.97", 29.97), ("29,97", 29.97), ("25", 25)])
def test_a_rate_with_a_fraction(text: str, rate: float) -> None:
    times = of(CineRate=text)
    assert times.step_s == pytest.approx(1 / rate)
    assert times.notes == (CORRECTED if "," in text else frozenset())


@pytest.mark.parametrize("text", ["0", "-1", "fast", "33333", "0.001"])
def test_a_rate_without_sense(text: str) -> None:
    assert of(CineRate=text).notes == UNKNOWN
    assert of(CineRate=text, RecommendedDisplayFrameRate="25").source is TimeSource.RECOMMENDED_DISPLAY_FRAME_RATE


def test_a_still_needs_no_times() -> None:
    assert of(1, FrameTime="nonsense") == FrameTimes(TimeSource.STILL)


def test_beyond_a_vector_times_are_unknown() -> None:
    times = of(FrameTimeVector="0\\33\\33\\33")
    assert math.isnan(times.of(4))
    assert np.isfinite(seconds(times)).all()


@pytest.mark.parametrize("rate", [{"CineRate": "30"}, {"FrameTime": "33"}])
def test_a_vector_of_times_is_known_by_the_rate(rate: dict[str, str]) -> None:
    times = of(4, FrameTimeVector="0\\33\\67\\100", **rate)
    assert seconds(times) == pytest.approx([0, 0.033, 0.067, 0.1])
    assert times.notes == CORRECTED
    # Steps that grow are steps, where the rate does not say otherwise.
    assert seconds(of(FrameTimeVector="0\\33\\67\\100", CineRate="15")) == pytest.approx([0, 0.033, 0.1, 0.2])
