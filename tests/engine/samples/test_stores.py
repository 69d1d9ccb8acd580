"""Which features of a cache are worked on."""

from __future__ import annotations

from pathlib import Path

import pytest

from lusfx.cache import Cache
from lusfx.config import FeatureSpec
from lusfx.engine.samples.stores import choose_store
from lusfx.errors import CacheError, UsageError


def test_the_only_features_are_taken_and_one_of_several_must_be_named(
    tmp_path: Path, feature_spec: FeatureSpec
) -> None:
    cache = Cache.open(tmp_path / "cache", create=True)
    with pytest.raises(CacheError, match="no features yet"):
        choose_store(cache, None)
    store = cache.store(feature_spec)
    assert choose_store(cache, None).fingerprint == store.fingerprint
    other = cache.store(feature_spec.model_copy(update={"stored_dtype": "float32"}))
    with pytest.raises(UsageError, match=rf"{other.fingerprint[:12]} \(test\).*--fingerprint"):
        choose_store(cache, None)
    assert choose_store(cache, other.fingerprint[:9]).fingerprint == other.fingerprint
    with pytest.raises(CacheError, match="0 fingerprints in the cache begin with nowhere"):
        choose_store(cache, "nowhere")
