"""From cached embeddings, a row a frame, to features, a row a clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Cache, Store
from lusfx.contracts import Pooling
from lusfx.errors import CacheError, UsageError
from lusfx.types import ClipEmbeddings, FrameStatus


def pool_frames(clip: ClipEmbeddings, pooling: Pooling) -> NDArray[np.float32]:
    """Reduce the readable frames of a clip to one vector.

    :param pooling: ``mean`` and ``max`` give ``(dim,)``; ``mean+std`` gives ``(2 * dim,)``, and a still's deviation is 0.
    :returns: float32; computed in float32 whatever the cache stores.
    """
    frames = clip.embeddings[clip.status == FrameStatus.OK].astype(np.float32)
    pooled: NDArray[np.float32]
    if pooling == "mean":
        pooled = frames.mean(axis=0)
    elif pooling == "max":
        pooled = frames.max(axis=0)
    else:
        pooled = np.concatenate([frames.mean(axis=0), frames.std(axis=0)])
    return pooled


def feature_length(dim: int, pooling: Pooling) -> int:
    """How many features :func:`pool_frames` gives for embeddings of length ``dim``."""
    return 2 * dim if pooling == "mean+std" else dim


def clip_features(store: Store, keys: Sequence[str], poolings: Sequence[Pooling]) -> dict[Pooling, NDArray[np.float32]]:
    """Features of clips in one pass over the cache, whatever the number of tasks.

    :param keys: clip keys, all of them in the store.
    :returns: ``(n_clips, n_features)`` a pooling.
    :raises ClipNotCachedError, CorruptRecordError: if a clip is missing or damaged.
    """
    wanted = sorted(set(poolings))
    dim = store.spec.encoder.dim
    features = {p: np.empty((len(keys), feature_length(dim, p)), np.float32) for p in wanted}
    for row, key in enumerate(keys):
        clip = store.read(key)
        for pooling in wanted:
            features[pooling][row] = pool_frames(clip, pooling)
    return features


def choose_store(cache: Cache, fingerprint: str | None) -> Store:
    """The features to work on: those named, or the only ones that the cache holds.

    :param fingerprint: a fingerprint or the beginning of one.
    :raises CacheError: if the cache holds none.
    :raises UsageError: if it holds several and none was named.
    """
    if fingerprint is not None:
        return cache.find(fingerprint)
    stores = cache.stores()
    if not stores:
        raise CacheError("the cache holds no features yet. Run: lusfx extract SOURCES... --cache DIR")
    if len(stores) > 1:
        held = ", ".join(f"{store.fingerprint[:12]} ({store.spec.encoder.architecture})" for store in stores)
        raise UsageError(f"the cache holds features of several fingerprints: {held}. Name one with --fingerprint")
    return stores[0]
