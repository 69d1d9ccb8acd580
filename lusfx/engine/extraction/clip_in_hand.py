"""A clip between its first decoded frame and its last encoded one, and the batches that it shares with others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lusfx.engine.extraction.decoding.clip import Ending, Portion
from lusfx.engine.extraction.decoding.jobs import Job
from lusfx.types import ClipEmbeddings, FrameStatus, plausible_times


@dataclass(slots=True, eq=False)
class ClipInHand:
    """A clip that is being decoded and encoded.

    :param rows: embeddings of the readable frames, in order, those of a batch together.
    :param n_not_finite: frames whose embedding has a value that is no number.
    :param ending: what the decoder said at its end; None before.
    """

    job: Job
    portions: list[Portion] = field(default_factory=list)
    rows: list[NDArray[np.float32]] = field(default_factory=list)
    n_readable: int = 0
    n_encoded: int = 0
    n_not_finite: int = 0
    ending: Ending | None = None
    failed: bool = False

    @property
    def complete(self) -> bool:
        return self.ending is not None and not self.failed and self.n_encoded == self.n_readable

    def add(self, portion: Portion) -> None:
        """Keep what is known of some frames, without their images: those are in the batches.

        Copies, since all arrays of a portion may be parts of one message, which a part would keep in memory whole.
        """
        self.n_readable += len(portion.images)
        empty = np.empty((0, 0, 0), np.uint8)
        self.portions.append(Portion(portion.source_frame.copy(), portion.times_s.copy(), portion.status.copy(), empty))

    def add_rows(self, rows: NDArray[np.float32]) -> None:
        """Keep embeddings of the next readable frames.

        Copies: a slice would keep the whole batch alive with it, its other clips' rows included.
        """
        self.rows.append(rows.copy())
        self.n_encoded += len(rows)
        self.n_not_finite += int((~np.isfinite(rows).all(axis=1)).sum())

    @property
    def not_finite(self) -> str:
        """What a person reads of a clip that has such frames."""
        return f"the encoder gives no finite values for {self.n_not_finite} of its {self.n_encoded} frames"

    def embeddings(self, dim: int, runtime: str) -> ClipEmbeddings:
        """Put the readable frames' vectors at their rows; the others stay NaN, with their status beside them."""
        assert self.ending is not None
        status = np.concatenate([portion.status for portion in self.portions])
        embeddings = np.full((len(status), dim), np.nan, np.float32)
        embeddings[status == FrameStatus.OK] = np.concatenate(self.rows)
        return ClipEmbeddings(
            embeddings,
            plausible_times(np.concatenate([portion.times_s for portion in self.portions])),
            np.concatenate([portion.source_frame for portion in self.portions]),
            status,
            dict(self.ending.provenance) | {"runtime": runtime},
        )


@dataclass(slots=True)
class Batch:
    """Images of one or several clips.

    :param images: ``(n, size, size)``.
    :param owners: whose each image is.
    """

    images: NDArray[np.uint8]
    owners: list[ClipInHand]

    def shares(self) -> Iterator[tuple[ClipInHand, slice]]:
        """Each clip with its part of the batch; one that comes back after another clip's images has several."""
        start = 0
        for end in range(1, len(self.owners) + 1):
            if end == len(self.owners) or self.owners[end] is not self.owners[start]:
                yield self.owners[start], slice(start, end)
                start = end


class Filler:
    """Fills batches of one size across clips: one batch a clip would leave the encoder idle at the end of each."""

    def __init__(self, batch_size: int, size: int, send: Callable[[Batch], None]) -> None:
        self.shape = (batch_size, size, size)
        self.send = send
        self._images = np.empty(self.shape, np.uint8)
        self._owners: list[ClipInHand] = []

    def add(self, images: NDArray[np.uint8], owner: ClipInHand) -> None:
        """Add some images of one clip."""
        while len(images):
            start = len(self._owners)
            n = min(len(images), self.shape[0] - start)
            self._images[start : start + n] = images[:n]
            self._owners += [owner] * n
            images = images[n:]
            if len(self._owners) == self.shape[0]:
                self.flush()

    def flush(self) -> None:
        """Send what there is."""
        if self._owners:
            self.send(Batch(self._images[: len(self._owners)], self._owners))
            self._images = np.empty(self.shape, np.uint8)
            self._owners = []
