"""Half precision is widened to the bit as numpy does it."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.engine.samples.half_precision import as_float32

EVERY = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def test_every_finite_value_is_the_same() -> None:
    """Subnormal ones and both zeros, too."""
    finite = EVERY[np.isfinite(EVERY)]
    assert len(finite) == (1 << 16) - (1 << 11)
    np.testing.assert_array_equal(as_float32(finite).view(np.uint32), finite.astype(np.float32).view(np.uint32))


@pytest.mark.parametrize("shape", [(0, 4), (1, 1), (5, 7), (64, 320)])
def test_shapes_stay_and_what_was_given_is_left_alone(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float16)
    before = values.copy()
    wide = as_float32(values)
    assert (wide.shape, wide.dtype) == (shape, np.float32)
    wide += 1
    np.testing.assert_array_equal(values, before)


def test_rows_with_gaps_between_them_are_taken_as_they_are() -> None:
    values = np.random.default_rng(0).normal(size=(9, 8)).astype(np.float16)
    for part in (values[::2], values[:, 1::3], values.T):
        np.testing.assert_array_equal(as_float32(part), part.astype(np.float32))


def test_float32_is_passed_on() -> None:
    values = np.ones((2, 3), np.float32)
    assert as_float32(values) is values
