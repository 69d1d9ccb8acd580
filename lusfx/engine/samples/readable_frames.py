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
    def mean_and_std(self) -> NDArray[np.float32]:
        """``(2 * dim,)``."""
        return np.concatenate([self.mean, self.rows.std(axis=0)])
