"""The values that pass between stages."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lusfx.types import plausible_times

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("times_s", "expected"),
    [
        ([0, 0.5, 0.5, 2], [0, 0.5, 0.5, 2]),
        ([NAN, NAN], [NAN, NAN]),
        ([0, NAN, 1], [0, NAN, 1]),
        ([0, 2, 1, 3], [0, 2, NAN, 3]),
        ([2, NAN, 1, 1.5, 2], [2, NAN, NAN, NAN, 2]),
        ([INF, 0, -INF, 1], [NAN, 0, NAN, 1]),
        ([-1, 0], [NAN, 0]),
        ([], []),
    ],
)
def test_times_that_cannot_be_are_unknown(times_s: list[float], expected: list[float]) -> None:
    np.testing.assert_array_equal(plausible_times(np.array(times_s, np.float64)), expected)
