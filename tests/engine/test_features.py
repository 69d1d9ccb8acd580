"""From frames to features."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.cache import Cache
from lusfx.config import FeatureSpec
from lusfx.engine.features import choose_store, clip_features, feature_length, pool_frames
from lusfx.errors import CacheError, ClipNotCachedError, UsageError
from lusfx.types import ClipEmbeddings, FrameStatus

KEY = "0a" * 32


@pytest.fixture
def clip() -> ClipEmbeddings:
    embeddings = np.arange(20, dtype=np.float16).reshape(4, 5)
    embeddings[2] = np.nan
    status = np.array([0, 0, FrameStatus.UNREADABLE, 0], np.uint8)
    return ClipEmbeddings(embeddings, np.zeros(4), np.arange(4, dtype=np.int64), status)


def test_pooling_leaves_unreadable_frames_out(clip: ClipEmbeddings) -> None:
    readable = clip.embeddings[[0, 1, 3]].astype(np.float32)
    np.testing.assert_allclose(pool_frames(clip, "mean"), readable.mean(axis=0))
    np.testing.assert_allclose(pool_frames(clip, "max"), readable.max(axis=0))
    both = pool_frames(clip, "mean+std")
    np.testing.assert_allclose(both, [*readable.mean(axis=0), *readable.std(axis=0)])
    assert len(both) == feature_length(5, "mean+std") == 10


def test_a_still_has_no_deviation(clip: ClipEmbeddings) -> None:
    still = ClipEmbeddings(clip.embeddings[:1], clip.times_s[:1], clip.source_frame[:1], clip.status[:1])
    np.testing.assert_array_equal(pool_frames(still, "mean+std")[5:], 0)


def test_long_clips_do_not_lose_precision_in_float16() -> None:
    embeddings = np.full((20_000, 1), 4.0, np.float16)
    clip = ClipEmbeddings(embeddings, np.zeros(20_000), np.arange(20_000), np.zeros(20_000, np.uint8))
    assert pool_frames(clip, "mean")[0] == 4.0


def test_features_of_all_poolings_in_one_pass(
    tmp_path: object, feature_spec: FeatureSpec, clip: ClipEmbeddings
) -> None:
    from pathlib import Path

    cache = Cache.open(Path(str(tmp_path)) / "cache", create=True)
    with pytest.raises(CacheError, match="lusfx extract"):
        choose_store(cache, None)
    store = cache.store(feature_spec)
    store.write(KEY, clip)
    features = clip_features(store, [KEY], ["mean", "mean+std", "mean"])
    assert {pooling: matrix.shape for pooling, matrix in features.items()} == {"mean": (1, 5), "mean+std": (1, 10)}
    with pytest.raises(ClipNotCachedError):
        clip_features(store, ["0b" * 32], ["mean"])
    assert choose_store(cache, None).fingerprint == store.fingerprint
    other = cache.store(feature_spec.model_copy(update={"stored_dtype": "float32"}))
    with pytest.raises(UsageError, match="--fingerprint"):
        choose_store(cache, None)
    assert choose_store(cache, other.fingerprint[:9]).fingerprint == other.fingerprint
