"""Which two frames of a clip are a positive pair, and how much the pair counts: intra-video positive pairs (IVPP).

VanBerlo et al. 2024 (arXiv 2403.07715): the second frame is drawn evenly from those of the same clip that are at most ``delta``
seconds from the first. The pair's weight falls with their distance; counted in frames it is
``(delta - distance + 1) / (delta + 1)``. Here it is in seconds, with the clip's own frame interval for the 1, which is the same
where delta is a whole number of frames, and needs no frame rate where frames come at uneven times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import UsageError

TOLERANCE_S = 1e-6
"""Frame times are sums of rounded intervals: a frame this much too far still counts as within reach."""


@dataclass(frozen=True, slots=True)
class ClipFrames:
    """A clip's frames in the frame store.

    :param first: position of its first frame; the others follow.
    :param times_s: ``(n_frames,)`` seconds; NaN where unknown.
    """

    first: int
    times_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Pairs of frames, by their positions in the frame store.

    :param frame_a: ``(n,)`` int64.
    :param frame_b: ``(n,)`` int64.
    :param weights: ``(n,)`` float32, above 0 and at most 1.
    """

    frame_a: NDArray[np.int64]
    frame_b: NDArray[np.int64]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.frame_a)


@dataclass(frozen=True, slots=True)
class SamplerState:
    """What comes next: batch ``position`` of ``epoch``, both from 0."""

    epoch: int
    position: int


class FrameIndex:
    """All frames of all clips, and for each which frames it may be paired with.

    Frames stand clip by clip and by time within a clip, so that those within reach of one are a range. A frame of unknown time
    reaches itself alone, and so does a still.

    :param clips: those that have frames; the others are left out.
    :param delta_s: largest distance of a pair's frames in seconds; 0 pairs every frame with itself.
    :raises UsageError: if ``delta_s`` is negative or not finite, or there is no frame.
    """

    def __init__(self, clips: Sequence[ClipFrames], delta_s: float) -> None:
        if not 0 <= delta_s < float("inf"):
            raise UsageError(f"frames of a pair are 0 seconds or more apart, not {delta_s}")
        kept = [clip for clip in clips if len(clip.times_s)]
        if not kept:
            raise UsageError("there is no frame to pair")
        self.delta_s = delta_s
        self.n_frames = np.array([len(clip.times_s) for clip in kept], np.int64)
        """``(n_clips,)``"""
        self.offset = np.cumsum(self.n_frames) - self.n_frames
        """``(n_clips,)`` where a clip begins in the arrays below."""
        self.interval_s = np.array([_interval_s(clip.times_s) for clip in kept])
        """``(n_clips,)`` seconds between neighbours, the median; 0 where no two are known."""
        orders = [np.argsort(clip.times_s, kind="stable") for clip in kept]  # NaN last
        times = [clip.times_s[order] for clip, order in zip(kept, orders, strict=True)]
        self.frame = np.concatenate([clip.first + order for clip, order in zip(kept, orders, strict=True)])
        """``(n,)`` position in the frame store."""
        self.time_s = np.concatenate(times)
        """``(n,)``"""
        reaches = [_reach(of_clip, delta_s) for of_clip in times]
        starts = zip(self.offset, reaches, strict=True)
        self.reach = np.concatenate([offset + reach for offset, reach in starts], axis=1)
        """``(2, n)`` first within reach, and the one after the last."""

    @property
    def n_clips(self) -> int:
        return len(self.n_frames)

    def weights(self, clip: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float32]:
        """Of pairs of places ``a`` and ``b`` in :attr:`frame`, of clips ``clip``; all ``(n,)``."""
        apart_s = np.where(a == b, 0.0, np.abs(self.time_s[a] - self.time_s[b]))
        interval_s = self.interval_s[clip]
        whole = self.delta_s + interval_s
        weights = np.divide(whole - apart_s, whole, out=np.ones(len(a)), where=(a != b) & (whole > 0))
        # Frames at the edge of reach have a weight even where the interval is unknown or 0.
        return np.clip(weights, 1e-3, 1.0).astype(np.float32)


class PairSampler:
    """Batches of pairs, the same for the same seed however many processes share them and wherever a run was resumed.

    An epoch has ``pairs_per_clip`` rounds; in a round every clip gives one pair, in random order, so that no batch within a
    round holds two pairs of one clip (which would be each other's negatives). Pairs that do not fill an epoch's last batch
    are left out of it; the next epoch leaves out others. Where there are fewer pairs than a batch has, all are one batch.

    Iterating goes on from :attr:`state`, epoch after epoch without end; :meth:`batch` gives any batch by its number.

    :param clips: as for :class:`FrameIndex`.
    :param delta_s: as for :class:`FrameIndex`.
    :param seed: decides every choice.
    :param batch_size: pairs in a batch of all processes together.
    :param pairs_per_clip: pairs of a clip in an epoch.
    :param rank: which process this is; its batches are its part of the whole ones, and joined in order of rank the
        processes' parts are the whole batch.
    :param n_processes: between which a batch is divided evenly.
    :raises UsageError: if a number makes no sense, a batch cannot be divided evenly, or there are too few pairs.
    """

    def __init__(
        self,
        clips: Sequence[ClipFrames],
        delta_s: float,
        seed: int,
        *,
        batch_size: int,
        pairs_per_clip: int = 1,
        rank: int = 0,
        n_processes: int = 1,
    ) -> None:
        if seed < 0 or pairs_per_clip < 1 or not 0 <= rank < n_processes:
            raise UsageError("seed, pairs per clip and rank are counted from 0, 1 and 0")
        if batch_size < 1 or batch_size % n_processes:
            raise UsageError(f"a batch of {batch_size} pairs cannot be divided evenly between {n_processes} processes")
        self.index = FrameIndex(clips, delta_s)
        self.seed = seed
        self.pairs_per_clip = pairs_per_clip
        n_pairs = self.index.n_clips * pairs_per_clip
        self.batch_size = min(batch_size, n_pairs // n_processes * n_processes)
        """Pairs in a batch of all processes together, at most as many as there are."""
        if self.batch_size == 0:
            raise UsageError(f"{n_pairs} pairs are too few for {n_processes} processes")
        self.n_batches = n_pairs // self.batch_size
        """Batches in an epoch."""
        share = self.batch_size // n_processes
        self._part = slice(rank * share, (rank + 1) * share)
        self._state = SamplerState(0, 0)
        self._epoch: tuple[int, PairBatch] | None = None

    @property
    def state(self) -> SamplerState:
        """What iterating gives next; give it to :meth:`resume` of another sampler to go on there."""
        return self._state

    def resume(self, state: SamplerState) -> None:
        """Go on with this batch.

        :raises UsageError: if the epoch has no such batch.
        """
        if state.epoch < 0 or not 0 <= state.position < self.n_batches:
            raise UsageError(f"epoch {state.epoch} has {self.n_batches} batches, and none of number {state.position}")
        self._state = state

    def following(self, state: SamplerState) -> SamplerState:
        """What comes after this batch."""
        if state.position + 1 < self.n_batches:
            return SamplerState(state.epoch, state.position + 1)
        return SamplerState(state.epoch + 1, 0)

    def __iter__(self) -> Iterator[PairBatch]:
        """This process's batches from :attr:`state` on, without end. A batch counts as used once it has been given."""
        while True:
            batch = self.batch(self._state)
            self._state = self.following(self._state)
            yield batch

    def batch(self, state: SamplerState) -> PairBatch:
        """This process's part of one batch."""
        pairs = self._pairs(state.epoch)
        whole = slice(state.position * self.batch_size, (state.position + 1) * self.batch_size)
        return PairBatch(
            pairs.frame_a[whole][self._part], pairs.frame_b[whole][self._part], pairs.weights[whole][self._part]
        )

    def _pairs(self, epoch: int) -> PairBatch:
        """All pairs of an epoch, in order; the last epoch asked for is kept."""
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, self._drawn(epoch)
        return self._epoch[1]

    def _drawn(self, epoch: int) -> PairBatch:
        generator = np.random.default_rng([self.seed, epoch])
        index = self.index
        clip = np.concatenate([generator.permutation(index.n_clips) for _ in range(self.pairs_per_clip)])
        a = index.offset[clip] + generator.integers(index.n_frames[clip])
        b = generator.integers(index.reach[0][a], index.reach[1][a])
        return PairBatch(index.frame[a], index.frame[b], index.weights(clip, a, b))


def _interval_s(times_s: NDArray[np.float64]) -> float:
    """Seconds between neighbours in time, the median of those above 0; 0 where there are none."""
    steps = np.diff(np.sort(times_s[np.isfinite(times_s)]))
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else 0.0


def _reach(times_s: NDArray[np.float64], delta_s: float) -> NDArray[np.int64]:
    """For each of a clip's sorted times the range ``(2, n)`` within ``delta_s`` of it."""
    n = len(times_s)
    reach = np.stack([np.arange(n), np.arange(1, n + 1)])  # itself alone
    known = times_s[np.isfinite(times_s)]
    if delta_s > 0:
        reach[0, : len(known)] = np.searchsorted(known, known - delta_s - TOLERANCE_S, side="left")
        reach[1, : len(known)] = np.searchsorted(known, known + delta_s + TOLERANCE_S, side="right")
    return reach
