"""Whether float16 keeps what a clip's embeddings say: their values, and how they differ from frame to frame."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LARGEST: Final = float(np.finfo(np.float16).max)
ROW_ERROR = 1e-3
"""Of a row's norm. Rounding to float16's eleven bits costs less than half of it, but for values below 6e-5."""
COLUMN_ERROR = 0.05
"""Of a column's norm: one of small values beside large ones is not lost either."""
CHANGE_ERROR = 0.5
"""Of the norm of the change from one row to the next: none is lost. Where a video repeats a frame with other noise, it is up
to 0.33."""
CHANGES_ERROR = 0.05
"""Of the norm of all changes together. In ultrasound clips it was at most 0.01."""
COLUMN_CHANGE_ERROR = 0.1
"""Of the norm of all changes of a column. In ultrasound clips it was at most 0.008."""
FEW_CHANGES, MANY_COLUMNS = 8, 50
"""Of fewer changes of a column all may be small by chance: then one column in so many may be off."""
NOISE = 2.0**-21
"""Of a column's norm: changes below are float32's own rounding."""
BLOCK_ROWS = 1024
"""Rows that are looked at together: a clip has up to 20,000, and the figures are in double precision."""


def keeps(rows: NDArray[Any]) -> bool:
    """Whether rows that are rounded to float16 are still the same, and differ in the same way.

    A clip whose rows are all equal loses nothing: its rounded rows are equal, too.

    :param rows: ``(n, dim)``, all finite.
    """
    if not bool((np.abs(rows) <= LARGEST).all()):
        return False
    columns = _Columns(rows.shape[1])
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS + 1].astype(np.float64)  # its last row is the next block's first
        error = block.astype(np.float16) - block
        change, change_error = np.diff(block, axis=0), np.diff(error, axis=0)
        if not (_is_within(error, block, ROW_ERROR) and _is_within(change_error, change, CHANGE_ERROR)):
            return False
        columns.add(block[:BLOCK_ROWS], error[:BLOCK_ROWS], change, change_error)
    return columns.are_kept()


def _is_within(error: NDArray[np.float64], of: NDArray[np.float64], most: float) -> bool:
    """Whether each row's error is small beside the row."""
    return bool((np.linalg.norm(error, axis=1) <= most * np.linalg.norm(of, axis=1)).all())


class _Columns:
    """Sums of squares of each column."""

    def __init__(self, dim: int) -> None:
        self.value, self.error, self.change, self.change_error = np.zeros((4, dim))
        self.n_changes = np.zeros(dim, np.int64)

    def add(
        self,
        value: NDArray[np.float64],
        error: NDArray[np.float64],
        change: NDArray[np.float64],
        change_error: NDArray[np.float64],
    ) -> None:
        self.value += (value**2).sum(axis=0)
        self.error += (error**2).sum(axis=0)
        self.change += (change**2).sum(axis=0)
        self.change_error += (change_error**2).sum(axis=0)
        self.n_changes += (change != 0).sum(axis=0)

    def are_kept(self) -> bool:
        if self.change_error.sum() > CHANGES_ERROR**2 * self.change.sum():
            return False
        lost = (self.change_error > COLUMN_CHANGE_ERROR**2 * self.change) & (self.change > NOISE**2 * self.value)
        by_chance = lost & (self.n_changes < FEW_CHANGES)
        return bool(
            (self.error <= COLUMN_ERROR**2 * self.value).all()
            and not (lost & ~by_chance).any()
            and by_chance.sum() <= len(lost) // MANY_COLUMNS
        )
