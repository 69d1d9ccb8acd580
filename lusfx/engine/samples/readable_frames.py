"""The frames of a cached clip that could be read, and what pooling makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import frame_durations
from lusfx.engine.samples.half_precision import as_float32
from lusfx.types import ClipEmbeddings, FrameStatus

CHANGE_S = 0.5
"""At 25 and at 6 frames a second the change over half a second is the same; that over one frame differs by more than two."""
ROUNDING_S = 1e-6


class ReadableFrames:
    """The frames of a clip that could be read, pooled at most once in each way, however many tasks ask.

    :param embeddings: those of the clip; not to be changed.
    """

    def __init__(self, embeddings: ClipEmbeddings) -> None:
        self._clip = embeddings
        self._readable = embeddings.status == FrameStatus.OK
        self._n = int(np.count_nonzero(self._readable))

    def __len__(self) -> int:
        return self._n

    def _those(self, column: NDArray[Any]) -> NDArray[Any]:
        return column if self._n == len(column) else column[self._readable]

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What is stored beside the clip's embeddings of where they are from."""
        return self._clip.provenance

    @cached_property
    def embeddings(self) -> NDArray[np.floating]:
        """``(n, dim)`` as they are stored."""
        return self._those(self._clip.embeddings)

    @cached_property
    def rows(self) -> NDArray[np.float32]:
        """``(n, dim)``."""
        return as_float32(self.embeddings)

    @cached_property
    def source_frame(self) -> NDArray[np.int64]:
        """``(n,)`` position in the source."""
        return self._those(self._clip.source_frame)

    @cached_property
    def times_s(self) -> NDArray[np.float64]:
        """``(n,)`` seconds after the clip's first frame; NaN where unknown."""
        return self._those(self._clip.times_s)

    @cached_property
    def durations_s(self) -> NDArray[np.float64] | None:
        """``(n,)`` seconds that each lasts; None where times are unknown."""
        return frame_durations(self._clip.times_s, self._readable)

    @cached_property
    def mean(self) -> NDArray[np.float32]:
        """``(dim,)``."""
        # To the bit what numpy.mean gives, in half the time for clips of seconds.
        mean: NDArray[np.float32] = np.add.reduce(self.rows, axis=0) / np.float32(self._n)
        return mean

    @cached_property
    def max(self) -> NDArray[np.float32]:
        """``(dim,)``."""
        largest: NDArray[np.float32] = self.rows.max(axis=0)
        return largest

    @cached_property
    def std(self) -> NDArray[np.float32]:
        """``(dim,)``."""
        spread: NDArray[np.float32] = self.rows.std(axis=0)
        return spread

    @cached_property
    def change(self) -> NDArray[np.float32] | None:
        """How fast each value changes, a second, ``(dim,)``: 0 of a single frame; None where times are unknown.

        It is the mean absolute difference over :data:`CHANGE_S`, or over a shorter clip's whole length. Differences between
        neighbours would measure noise, and the more of it the higher the frame rate.
        """
        if self._n == 1:
            return np.zeros(self.rows.shape[1], np.float32)
        if self.durations_s is None:
            return None
        times_s, rows = self.times_s, self.rows
        step_s = min(CHANGE_S, float(times_s[-1] - times_s[0]))
        later_s = times_s[times_s + step_s <= times_s[-1] + ROUNDING_S] + step_s
        # Between two frames a value is taken to move evenly from the one to the other.
        before = np.clip(np.searchsorted(times_s, later_s, side="right") - 1, 0, self._n - 2)
        share = (later_s - times_s[before]) / (times_s[before + 1] - times_s[before])
        share = np.clip(share, 0.0, 1.0).astype(np.float32)[:, np.newaxis]
        moved = rows[before] * (1 - share) + rows[before + 1] * share - rows[: len(later_s)]
        rate: NDArray[np.float32] = np.abs(moved).mean(axis=0) / np.float32(step_s)
        return rate
