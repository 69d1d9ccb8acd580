from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lusfx.cache import Cache, Store
from lusfx.config import FeatureSpec
from lusfx.types import ClipEmbeddings


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty cache."""
    return Cache.open(tmp_path / "cache", create=True)


@pytest.fixture
def store(cache: Cache, feature_spec: FeatureSpec) -> Store:
    """An empty store in it."""
    return cache.store(feature_spec)


@pytest.fixture
def embeddings() -> ClipEmbeddings:
    """Of a clip of seven frames."""
    return ClipEmbeddings(
        np.linspace(-1, 1, 35, dtype=np.float32).reshape(7, 5),
        np.arange(7) / 25,
        np.arange(7, dtype=np.int64),
        np.zeros(7, np.uint8),
        {"reader": "video"},
    )
