"""From frames to the features of clips, exams and single frames."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.cache import Cache, Store
from lusfx.config import FeatureSpec
from lusfx.contracts import Abstention, Bags, LongestRun, Mean, Pooling, Task
from lusfx.engine.samples.features import (
    ClipFeatures,
    FeatureMaker,
    FrameBag,
    FrameRows,
    PooledClip,
    TimedBag,
    features_of_clips,
)
from lusfx.engine.samples.pooling import pooled_stills
from lusfx.errors import ClipNotCachedError, PluginError
from lusfx.task_model import TaskCard
from lusfx.types import ClipEmbeddings, FrameStatus, NotAssessable

KEY, OTHER_KEY = "0a" * 32, "0b" * 32
FRAME_TIME_S = 0.05


class Effusion(Task):
    """Effusion, one answer a clip."""

    name = "effusion"
    label_columns = ("effusion",)


class EffusionOfExam(Effusion):
    """Effusion, one answer an exam."""

    unit = "exam"


class EffusionOfFrame(Effusion):
    """Effusion, one answer a frame."""

    unit = "frame"


class EffusionByRun(Effusion):
    """Effusion, by the longest run of frames."""

    aggregate = LongestRun()


class EffusionByMean(Effusion):
    """Effusion, by the mean over time."""

    aggregate = Mean()


class LastLessFirst(Effusion):
    """Effusion, by what changes from the first frame to the last."""

    pooling = "custom"

    def pool(self, embeddings: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        return (embeddings[-1] - embeddings[0]) / max(times_s[-1] - times_s[0], FRAME_TIME_S)


def a_clip(n_frames: int = 6, unreadable: tuple[int, ...] = (2,), seed: int = 0, stride: int = 1) -> ClipEmbeddings:
    generator = np.random.default_rng(seed)
    embeddings = generator.normal(size=(n_frames, 5)).astype(np.float16)
    status = np.zeros(n_frames, np.uint8)
    for frame in unreadable:
        status[frame], embeddings[frame] = FrameStatus.UNREADABLE, np.nan
    positions = np.arange(n_frames, dtype=np.int64) * stride
    return ClipEmbeddings(embeddings, positions * FRAME_TIME_S, positions, status, {"beam_confidence": 0.6})


def readable_of(clip: ClipEmbeddings) -> np.ndarray:
    return clip.embeddings[clip.status == FrameStatus.OK].astype(np.float32)


def maker_of(task: Task, pooling: Pooling | None = None) -> FeatureMaker:
    return FeatureMaker(TaskCard.of(task, pooling), task)


def pooled_of(task: Task, clip: ClipEmbeddings, pooling: Pooling | None = None) -> PooledClip:
    features = maker_of(task, pooling).of_clip(clip)
    assert isinstance(features, PooledClip)
    return features


def timed_of(task: Task, clip: ClipEmbeddings) -> TimedBag:
    features = maker_of(task).of_clip(clip)
    assert isinstance(features, TimedBag)
    return features


def reason_of(features: ClipFeatures) -> str | None:
    return features.code if isinstance(features, NotAssessable) else None


# ---- one clip ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pooling", "pooled"),
    [
        ("mean", lambda rows: rows.mean(axis=0)),
        ("max", lambda rows: rows.max(axis=0)),
        ("mean+max", lambda rows: np.concatenate([rows.mean(axis=0), rows.max(axis=0)])),
        ("mean+std", lambda rows: np.concatenate([rows.mean(axis=0), rows.std(axis=0)])),
    ],
)
def test_pooling_is_over_the_readable_frames(pooling: Pooling, pooled: object) -> None:
    clip = a_clip()
    features = pooled_of(Effusion(), clip, pooling)
    assert features.vector.dtype == np.float32
    np.testing.assert_allclose(features.vector, pooled(readable_of(clip)), rtol=1e-5)
    np.testing.assert_allclose(features.centre, readable_of(clip).mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("pooling", ["mean+std", "mean+change"])
def test_a_still_has_no_deviation_and_no_change(pooling: Pooling) -> None:
    np.testing.assert_array_equal(pooled_of(Effusion(), a_clip(1, ()), pooling).vector[5:], 0)


def waves(times_s: np.ndarray, unreadable: tuple[int, ...] = ()) -> ClipEmbeddings:
    """Values that swing about once a second, each with a pace of its own, seen at the times given."""
    paces = np.array([0.6, 0.8, 1.0, 1.2, 1.4])
    embeddings = np.sin(2 * np.pi * paces * times_s[:, np.newaxis]).astype(np.float32)
    status = np.full(len(times_s), FrameStatus.OK, np.uint8)
    for frame in unreadable:
        status[frame], embeddings[frame] = FrameStatus.UNREADABLE, np.nan
    return ClipEmbeddings(embeddings, times_s, np.arange(len(times_s)), status, {"beam_confidence": 1.0})


def change_of(clip: ClipEmbeddings) -> np.ndarray:
    return pooled_of(Effusion(), clip, "mean+change").vector[5:]


def test_change_is_a_second_at_any_frame_rate() -> None:
    expected = change_of(waves(np.arange(0, 4, 1 / 100)))
    assert (expected > 0.5).all()
    generator = np.random.default_rng(0)
    for times_s in (
        np.arange(0, 4, 1 / 25),
        np.arange(0, 4, 1 / 12),
        np.sort(np.concatenate([[0, 3.99], generator.uniform(0, 4, 100)])),  # a rate that varies
    ):
        np.testing.assert_allclose(change_of(waves(times_s)), expected, rtol=0.1)
    np.testing.assert_allclose(change_of(waves(np.arange(0, 4, 1 / 25), (3, 20, 21))), expected, rtol=0.1)


def test_change_does_not_measure_noise_more_often_the_more_frames_there_are() -> None:
    generator = np.random.default_rng(0)
    rates = []
    for n_frames in (24, 96):
        clip = waves(np.arange(n_frames) * 4 / n_frames)
        clip.embeddings[:] = generator.normal(size=clip.embeddings.shape)
        rates.append(change_of(clip).mean())
    assert rates[1] == pytest.approx(rates[0], rel=0.25)


def test_change_of_a_clip_shorter_than_half_a_second_is_over_its_length() -> None:
    clip = waves(np.array([0.0, 0.1, 0.2]))
    moved = np.abs(clip.embeddings[2] - clip.embeddings[0]) / 0.2
    np.testing.assert_allclose(change_of(clip), moved, rtol=1e-4)


def test_change_needs_times_and_a_still_has_none_to_know() -> None:
    maker = maker_of(Effusion(), "mean+max+change")
    assert reason_of(maker.of_clip(without_times(a_clip()))) == "frame-times-unknown"
    assert reason_of(maker.of_clip(without_times(a_clip(1, ())))) is None
    assert reason_of(maker_of(Effusion(), "mean+max").of_clip(without_times(a_clip()))) is None


@pytest.mark.parametrize("pooling", ["mean", "mean+std"])
def test_long_clips_do_not_lose_precision_in_float16(pooling: Pooling) -> None:
    n = 20_000  # whose sum is far above the largest float16, and above where float16 tells whole numbers apart
    clip = ClipEmbeddings(
        np.tile(np.array([[4.0], [4.5]], np.float16), (n // 2, 1)),
        np.arange(n) * FRAME_TIME_S,
        np.arange(n),
        np.zeros(n, np.uint8),
        {"beam_confidence": 1.0},
    )
    features = pooled_of(Effusion(), clip, pooling)
    assert features.vector == pytest.approx(np.array([4.25, 0.25])[: len(features.vector)], rel=1e-4)
    assert features.centre == pytest.approx([4.25], rel=1e-4)


def test_pooling_of_the_task_s_own_gets_readable_frames_and_their_times() -> None:
    clip = a_clip(unreadable=(0, 3))
    rows = readable_of(clip)
    features = pooled_of(LastLessFirst(), clip)
    np.testing.assert_allclose(features.vector, (rows[-1] - rows[0]) / (4 * FRAME_TIME_S), rtol=1e-5)


def test_pooling_of_the_task_s_own_cannot_change_what_it_is_given() -> None:
    class Careless(LastLessFirst):
        """Sorts in place."""

        def pool(self, embeddings: np.ndarray, times_s: np.ndarray) -> np.ndarray:
            assert not times_s.flags.writeable
            embeddings.sort(axis=0)
            return embeddings[-1]

    clip = a_clip()
    before = clip.embeddings.copy()
    with pytest.raises(PluginError, match="'pool' of task 'effusion' failed: ValueError"):
        maker_of(Careless()).of_clip(clip)
    np.testing.assert_array_equal(clip.embeddings, before)


@pytest.mark.parametrize("returned", [np.float32(1), np.zeros((2, 2)), np.zeros(0), "words", None])
def test_pooling_of_the_task_s_own_returns_a_vector_or_is_told(returned: object) -> None:
    class Odd(LastLessFirst):
        """Returns something else."""

        def pool(self, embeddings: np.ndarray, times_s: np.ndarray) -> object:
            return returned

    with pytest.raises(PluginError, match="'pool' of task 'effusion'"):
        maker_of(Odd()).of_clip(a_clip())


def test_vectors_of_several_lengths_are_the_plugin_s_mistake() -> None:
    class Growing(LastLessFirst):
        """Returns as many numbers as there are frames."""

        def pool(self, embeddings: np.ndarray, times_s: np.ndarray) -> np.ndarray:
            return embeddings[:, 0]

    maker = maker_of(Growing())
    units = [[maker.of_clip(a_clip(n, ()))] for n in (3, 8)]
    with pytest.raises(PluginError, match="vectors of one length, and returned some of 3 and 8"):
        maker.of_units(units)


def test_pooling_of_a_task_whose_plugin_is_gone_is_told() -> None:
    with pytest.raises(PluginError, match="its plugin is not installed"):
        FeatureMaker(TaskCard.of(LastLessFirst())).of_clip(a_clip())


def test_attention_gets_frames_evenly_spaced() -> None:
    class Attentive(Effusion):
        """Weighs frames."""

        pooling = "attention"
        frames_per_clip = 4

    clip = a_clip(11, unreadable=(5,))
    features = maker_of(Attentive()).of_clip(clip)
    assert isinstance(features, FrameBag)
    np.testing.assert_array_equal(features.rows, clip.embeddings[[0, 3, 7, 10]])
    short = maker_of(Attentive()).of_clip(a_clip(3, ()))
    assert isinstance(short, FrameBag)
    assert len(short.rows) == 3


def test_an_aggregation_gets_every_readable_frame_with_its_duration() -> None:
    """The frame before a gap lasts until the frame that could not be read, and the last one as long as the median."""
    clip = a_clip(6, unreadable=(2,))
    features = timed_of(EffusionByRun(), clip)
    np.testing.assert_array_equal(features.rows, clip.embeddings[[0, 1, 3, 4, 5]])
    assert features.durations_s == pytest.approx(np.full(5, FRAME_TIME_S))


def without_times(clip: ClipEmbeddings) -> ClipEmbeddings:
    return replace(clip, times_s=np.full(clip.n_frames, np.nan))


def test_an_aggregation_in_seconds_does_not_answer_without_times() -> None:
    maker = maker_of(EffusionByRun())
    assert reason_of(maker.of_clip(without_times(a_clip()))) == "frame-times-unknown"
    assert reason_of(maker.of_clip(without_times(a_clip(1, ())))) is None  # a still has no need of them


def test_a_mean_answers_without_times_each_frame_alike() -> None:
    features = timed_of(EffusionByMean(), without_times(a_clip()))
    assert features.durations_s == pytest.approx(np.ones(5))


def test_a_frame_task_gets_each_readable_frame_with_its_place() -> None:
    clip = a_clip(6, unreadable=(2,), stride=3)
    features = maker_of(EffusionOfFrame()).of_clip(clip)
    assert isinstance(features, FrameRows)
    assert features.source_frame.tolist() == [0, 3, 9, 12, 15]
    np.testing.assert_array_equal(features.rows, clip.embeddings[[0, 1, 3, 4, 5]])
    assert features.times_s == pytest.approx(np.array([0, 3, 9, 12, 15]) * FRAME_TIME_S)


@pytest.mark.parametrize(
    ("abstention", "code"),
    [
        (Abstention(min_frames=6), "too-few-frames"),
        (Abstention(min_frames=5), None),
        (Abstention(min_beam_confidence=0.7), "low-beam-confidence"),
        (Abstention(min_beam_confidence=0.6), None),
    ],
)
def test_clips_that_the_task_abstains_from_have_a_reason_and_no_features(
    abstention: Abstention, code: str | None
) -> None:
    class Careful(Effusion):
        """Abstains."""

        abstain = abstention

    features = maker_of(Careful()).of_clip(a_clip(6, unreadable=(2,)))
    assert reason_of(features) == code
    assert isinstance(features, PooledClip) == (code is None)


def test_a_clip_without_a_readable_frame_has_a_reason() -> None:
    assert reason_of(maker_of(Effusion()).of_clip(a_clip(3, (0, 1, 2)))) == "too-few-frames"


@pytest.mark.parametrize("facts", [{}, *({"beam_confidence": value} for value in (
    None, "1", "", True, math.nan, math.inf, -math.inf, -1, 1.5, 10**400, [1.0])
)])  # fmt: skip
def test_a_clip_whose_beam_has_no_probability_does_not_pass_where_one_is_asked_for(facts: dict[str, Any]) -> None:
    class Careful(Effusion):
        """Abstains."""

        abstain = Abstention(min_beam_confidence=0.01)

    class Careless(Effusion):
        """Takes all."""

        abstain = Abstention(min_beam_confidence=0)

    clip = replace(a_clip(), provenance=facts)
    assert reason_of(maker_of(Careful()).of_clip(clip)) == "beam-confidence-unknown"
    assert reason_of(maker_of(Careless()).of_clip(clip)) is None


# ---- units of several clips -------------------------------------------------------------------------------------------


def mean_then_max(vectors: list[np.ndarray], axis: int) -> np.ndarray:
    halves = np.split(np.stack(vectors), 2, axis=1)
    return np.concatenate([halves[0].mean(axis=axis), halves[1].max(axis=axis)])


@pytest.mark.parametrize(
    ("pooling", "join"), [("mean", np.mean), ("max", np.max), ("mean+std", np.mean), ("mean+max", mean_then_max)]
)
def test_an_exam_joins_its_clips(pooling: Pooling, join: object) -> None:
    maker = maker_of(EffusionOfExam(), pooling)
    clips = [maker.of_clip(a_clip(n, (), seed=n)) for n in (3, 9, 4)]
    missing = maker.of_clip(a_clip(2, (0, 1)))
    units = maker.of_units([[clips[0], missing, clips[1]], [clips[2]]])
    assert isinstance(units.features, np.ndarray)
    expected = join([clips[0].vector, clips[1].vector], axis=0)
    np.testing.assert_allclose(units.features, [expected, clips[2].vector], rtol=1e-6)
    assert units.features.dtype == np.float32
    np.testing.assert_allclose(units.centres[0], np.mean([clips[0].centre, clips[1].centre], axis=0), rtol=1e-6)


def test_the_frames_of_an_exam_s_clips_are_one_bag() -> None:
    maker = maker_of(EffusionOfExam(), "attention")
    clips = [maker.of_clip(a_clip(n, (), seed=n)) for n in (3, 5, 2)]
    units = maker.of_units([clips[:2], clips[2:]])
    assert isinstance(units.features, Bags)
    assert units.features.sizes.tolist() == [8, 2]
    np.testing.assert_array_equal(units.features[0], np.concatenate([clips[0].rows, clips[1].rows]))
    assert units.durations_s is None


def test_aggregated_clips_are_bags_with_durations() -> None:
    maker = maker_of(EffusionByRun())
    units = maker.of_units([[maker.of_clip(a_clip(n, ()))] for n in (3, 1)])
    assert isinstance(units.features, Bags)
    assert units.features.sizes.tolist() == [3, 1]
    assert units.durations_s is not None
    assert [len(durations) for durations in units.durations_s] == [3, 1]


def test_each_frame_of_a_frame_task_is_a_unit() -> None:
    maker = maker_of(EffusionOfFrame())
    clips = [maker.of_clip(a_clip(n, (), seed=n)) for n in (3, 2)]
    units = maker.of_units([[clip] for clip in clips])
    assert isinstance(units.features, np.ndarray)
    assert units.features.shape == units.centres.shape == (5, 5)
    np.testing.assert_array_equal(units.features[3:], clips[1].rows)


# ---- many clips ----------------------------------------------------------------------------------------------------------


def test_every_clip_is_read_once_for_all_tasks(
    tmp_path: Path, feature_spec: FeatureSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Cache.open(tmp_path / "cache", create=True).store(feature_spec)
    for seed, key in enumerate((KEY, OTHER_KEY)):
        store.write(key, a_clip(seed=seed))
    reads: Counter[str] = Counter()
    read = Store.read

    def counted(self: Store, key: str) -> ClipEmbeddings:
        reads[key] += 1
        return read(self, key)

    monkeypatch.setattr(Store, "read", counted)
    makers = {"pooled": maker_of(Effusion()), "run": maker_of(EffusionByRun()), "frames": maker_of(EffusionOfFrame())}
    made = features_of_clips(store, [KEY, OTHER_KEY], makers)
    assert reads == {KEY: 1, OTHER_KEY: 1}
    assert {name: list(clips) for name, clips in made.items()} == {name: [KEY, OTHER_KEY] for name in makers}
    forms = {"pooled": PooledClip, "run": TimedBag, "frames": FrameRows}
    assert all(isinstance(clip, forms[name]) for name, clips in made.items() for clip in clips.values())
    with pytest.raises(ClipNotCachedError):
        features_of_clips(store, ["0c" * 32], makers)


@pytest.mark.parametrize("pooling", ["mean", "max", "mean+max", "mean+std", "mean+max+change"])
def test_frames_by_themselves_are_pooled_as_stills_are(pooling: Pooling) -> None:
    clips = [a_clip(1, (), seed=seed) for seed in range(3)]
    rows = np.concatenate([readable_of(clip) for clip in clips])
    expected = [pooled_of(Effusion(), clip, pooling).vector for clip in clips]
    np.testing.assert_array_equal(pooled_stills(rows, pooling), expected)
