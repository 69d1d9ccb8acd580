"""float16 is taken where it keeps what a clip's embeddings say, and float32 where it does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lusfx.cache.half_precision import BLOCK_ROWS, keeps
from lusfx.cache.record import as_stored

Rows = NDArray[np.float32]


def stored(rows: Rows) -> NDArray[np.floating]:
    return as_stored(rows, np.zeros(len(rows), np.uint8), "float16")


def noise(n_frames: int = 40, dim: int = 8, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(n_frames, dim))


@given(
    n_frames=st.integers(1, 30),
    dim=st.integers(1, 12),
    scale=st.floats(-12, 6).map(lambda exponent: 10.0**exponent),
    offset=st.sampled_from([0.0, 1e-6, 1.0, -30.0, 2000.0, 6e4]),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_what_is_read_back_has_the_same_values_and_the_same_differences(
    n_frames: int, dim: int, scale: float, offset: float, repeats: int, seed: int
) -> None:
    rows = np.repeat(offset + scale * noise(n_frames, dim, seed), repeats, axis=0).astype(np.float32)
    found = stored(rows)
    if found.dtype == np.float32:
        np.testing.assert_array_equal(found, rows)
        return
    exact, error = rows.astype(np.float64), found.astype(np.float64) - rows
    norm = np.linalg.norm
    assert (norm(error, axis=1) <= 0.001 * norm(exact, axis=1)).all()
    change, change_error = np.diff(exact, axis=0), np.diff(error, axis=0)
    assert (norm(change_error, axis=1) <= 0.5 * norm(change, axis=1)).all()
    assert norm(change_error) <= 0.05 * norm(change)
    assert (norm(error, axis=0) <= 0.05 * norm(exact, axis=0)).all()


def mixed(*scales: float) -> NDArray[np.float64]:
    return noise(dim=len(scales)) * scales


LOST: dict[str, Callable[[], NDArray[np.float64]]] = {
    "small values": lambda: 1e-9 * noise(),
    "small differences": lambda: 2000 + 0.001 * noise(),
    "small values in one column": lambda: mixed(1, 1, 1e-8, 1),
    "small differences in one column": lambda: mixed(1, 1, 0.01, 1) + np.array([0, 0, 2000, 0]),
    "small differences in one column of two frames": lambda: noise(2) * [1, 1e-4, *[1] * 6] + [0, 50, *[0] * 6],
    "small differences beside one large step": lambda: np.repeat([[0.0], [500.0]], 20, axis=0) + 2000 + 0.001 * noise(),
    "small differences in a few frames": lambda: np.concatenate([noise(), 100 + 0.001 * noise(5)]),
    "differences of twice the rounding": lambda: 2000 + 2 * noise(),
    "one small difference between the blocks that are looked at": lambda: np.concatenate(
        [noise(BLOCK_ROWS - 1), [[100.0] * 8, [100.01] * 8], noise(BLOCK_ROWS)]
    ),
    "a value that is too large": lambda: 1e5 * noise(),
}


@pytest.mark.parametrize("name", LOST)
def test_what_float16_would_lose_is_kept_in_float32(name: str) -> None:
    rows = LOST[name]().astype(np.float32)
    np.testing.assert_array_equal(stored(rows), rows)
    assert stored(rows).dtype == np.float32


KEPT: dict[str, Callable[[], NDArray[np.float64]]] = {
    "ordinary": noise,
    "of one frame": lambda: noise(1),
    "large": lambda: 1e4 * noise(),
    "small": lambda: 0.01 * noise(),
    "many zeros": lambda: np.maximum(noise(dim=1280) - 1, 0),
    "a still": lambda: np.repeat(noise(1) + 1 / 3, 50, axis=0),
    "a constant column": lambda: mixed(1, 0, 1, 1) + np.array([0, 1 / 3, 0, 0]),
    "all zeros": lambda: np.zeros((40, 8)),
    "few frames, and a column that changes little by chance": lambda: (
        noise(4, 100) * [1e-3, *[1] * 99] + [2, *[0] * 99]
    ),
    "long": lambda: noise(3 * BLOCK_ROWS),
}


@pytest.mark.parametrize("name", KEPT)
def test_ordinary_embeddings_take_half_the_bytes(name: str) -> None:
    rows = KEPT[name]().astype(np.float32)
    assert keeps(rows)
    np.testing.assert_array_equal(stored(rows), rows.astype(np.float16))
