from __future__ import annotations

from pathlib import Path

import pytest

from lusfx.cache import Cache, Store
from lusfx.config import FeatureSpec


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty cache."""
    return Cache.open(tmp_path / "cache", create=True)


@pytest.fixture
def store(cache: Cache, feature_spec: FeatureSpec) -> Store:
    """An empty store in it."""
    return cache.store(feature_spec)
