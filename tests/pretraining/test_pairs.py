"""Pairs of a clip's frames: within reach, weighed by distance, and the same however a run is shared or resumed."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from lusfx.errors import UsageError
from lusfx.pretraining.pairs import ClipFrames, FrameIndex, PairBatch, PairSampler, SamplerState


def clips(n: int = 10, n_frames: int = 30, interval_s: float = 0.1) -> list[ClipFrames]:
    return [ClipFrames(100 + i * n_frames, np.arange(n_frames) * interval_s) for i in range(n)]


def joined(batches: list[PairBatch]) -> np.ndarray:
    """``(n, 3)`` rows of all pairs."""
    return np.concatenate([np.stack([b.frame_a, b.frame_b, b.weights], axis=1) for b in batches])


def epoch(sampler: PairSampler, number: int = 0) -> list[PairBatch]:
    return [sampler.batch(SamplerState(number, position)) for position in range(sampler.n_batches)]


def test_frames_of_a_pair_are_of_one_clip_and_within_reach() -> None:
    sampler = PairSampler(clips(), 0.5, 0, batch_size=5, pairs_per_clip=400)
    pairs = joined(epoch(sampler))
    a, b, weights = pairs[:, 0].astype(int), pairs[:, 1].astype(int), pairs[:, 2]
    assert len(pairs) == 4000
    assert np.array_equal((a - 100) // 30, (b - 100) // 30)
    assert np.abs(a - b).max() == 5  # all distances occur, the largest too
    assert set(np.unique(b - a)) == set(range(-5, 6))
    # In frames, as in the paper: (5 - distance + 1) / (5 + 1).
    assert weights == pytest.approx((6 - np.abs(a - b)) / 6, abs=1e-6)
    assert set(a) == set(range(100, 400))


def test_each_clip_gives_one_pair_a_round() -> None:
    batches = epoch(PairSampler(clips(), 1.0, 0, batch_size=5, pairs_per_clip=3))
    assert [len(batch) for batch in batches] == [5] * 6
    for start in (0, 2, 4):
        of_clip = (joined(batches[start : start + 2])[:, 0].astype(int) - 100) // 30
        assert sorted(of_clip) == list(range(10))


def test_distance_zero_unknown_times_and_stills_pair_a_frame_with_itself() -> None:
    unknown = [ClipFrames(0, np.full(20, np.nan)), ClipFrames(20, np.zeros(1)), ClipFrames(21, np.full(1, np.nan))]
    for of_clips, delta_s in ((clips(), 0.0), (unknown, 3.0)):
        pairs = joined(epoch(PairSampler(of_clips, delta_s, 0, batch_size=1, pairs_per_clip=30)))
        assert np.array_equal(pairs[:, 0], pairs[:, 1])
        assert (pairs[:, 2] == 1).all()


def test_times_in_disorder_and_in_part_unknown() -> None:
    times_s = np.array([0.3, np.nan, 0.0, 0.2, 5.0, 0.1])
    pairs = joined(epoch(PairSampler([ClipFrames(10, times_s)], 0.15, 0, batch_size=1, pairs_per_clip=400)))
    seen = {(int(a) - 10, int(b) - 10) for a, b, _ in pairs}
    near = {(i, j) for i in range(6) for j in range(6) if i == j or abs(times_s[i] - times_s[j]) < 0.15}
    assert seen == near
    assert (pairs[:, 2] > 0).all()


def test_times_that_repeat_have_a_weight() -> None:
    pairs = joined(epoch(PairSampler([ClipFrames(0, np.zeros(4))], 1.0, 0, batch_size=1, pairs_per_clip=400)))
    assert (pairs[:, 2] == 1).all()
    assert len({(a, b) for a, b, _ in pairs}) == 16


def test_seed_and_epoch_decide() -> None:
    sampler = PairSampler(clips(), 1.0, 7, batch_size=4)
    first = joined(epoch(sampler))
    assert np.array_equal(first, joined(epoch(PairSampler(clips(), 1.0, 7, batch_size=4))))
    assert not np.array_equal(first, joined(epoch(sampler, 1)))
    assert not np.array_equal(first, joined(epoch(PairSampler(clips(), 1.0, 8, batch_size=4))))
    assert np.array_equal(first, joined(epoch(sampler)))  # asked again after another epoch


def test_resumed_run_goes_on_with_the_same_batches() -> None:
    whole = PairSampler(clips(), 1.0, 0, batch_size=3)
    expected = list(islice(whole, 10))
    assert whole.state == SamplerState(3, 1)
    first = PairSampler(clips(), 1.0, 0, batch_size=3)
    begun = list(islice(first, 4))
    second = PairSampler(clips(), 1.0, 0, batch_size=3)
    second.resume(first.state)
    assert np.array_equal(joined(expected), joined(begun + list(islice(second, 6))))
    assert second.following(SamplerState(0, 2)) == SamplerState(1, 0)
    for state in (SamplerState(0, 3), SamplerState(-1, 0), SamplerState(0, -1)):
        with pytest.raises(UsageError, match="none of number"):
            second.resume(state)


@pytest.mark.parametrize("n_processes", [2, 3])
def test_processes_share_the_batches_of_one(n_processes: int) -> None:
    alone = PairSampler(clips(13), 1.0, 0, batch_size=6)
    shared = [
        PairSampler(clips(13), 1.0, 0, batch_size=6, rank=rank, n_processes=n_processes) for rank in range(n_processes)
    ]
    for position in range(alone.n_batches):
        state = SamplerState(2, position)
        parts = [sampler.batch(state) for sampler in shared]
        assert {len(part) for part in parts} == {6 // n_processes}
        assert np.array_equal(joined(parts), joined([alone.batch(state)]))


def test_fewer_pairs_than_a_batch_are_one_batch() -> None:
    sampler = PairSampler(clips(5), 1.0, 0, batch_size=64, n_processes=2)
    assert (sampler.n_batches, sampler.batch_size) == (1, 4)
    assert len(next(iter(sampler))) == 2


def test_empty_clips_are_left_out() -> None:
    index = FrameIndex([ClipFrames(0, np.zeros(0)), *clips(2)], 1.0)
    assert index.n_clips == 2
    assert len(index.frame) == 60
    assert index.interval_s == pytest.approx([0.1, 0.1])


def test_what_makes_no_sense_is_refused() -> None:
    for wrong in (
        lambda: FrameIndex([], 1.0),
        lambda: FrameIndex(clips(), -1.0),
        lambda: FrameIndex(clips(), float("nan")),
        lambda: PairSampler(clips(), 1.0, -1, batch_size=2),
        lambda: PairSampler(clips(), 1.0, 0, batch_size=0),
        lambda: PairSampler(clips(), 1.0, 0, batch_size=3, n_processes=2),
        lambda: PairSampler(clips(), 1.0, 0, batch_size=2, rank=2, n_processes=2),
        lambda: PairSampler(clips(), 1.0, 0, batch_size=2, pairs_per_clip=0),
        lambda: PairSampler(clips(1), 1.0, 0, batch_size=2, n_processes=2),
    ):
        with pytest.raises(UsageError):
            wrong()
