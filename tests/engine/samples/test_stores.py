"""Which features of a cache are worked on."""

from __future__ import annotations

from pathlib import Path

import pytest

from lusfx.cache import Cache, info
from lusfx.config import FeatureSpec
from lusfx.encoders.card import read_card
from lusfx.engine.samples.stores import choose_store
from lusfx.errors import CacheError, UsageError
from tests.conftest import write_bare_encoder


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


def test_encoders_of_one_architecture_are_told_apart_by_the_names_of_their_runs(
    tmp_path: Path, feature_spec: FeatureSpec
) -> None:
    cache = Cache.open(tmp_path / "cache", create=True)
    stores = {
        name: cache.store(
            feature_spec.model_copy(
                update={"encoder": feature_spec.encoder.model_copy(update={"weights_sha256": digit * 64})}
            )
        )
        for name, digit in {"lung": "1", "imagenet": "2"}.items()
    }
    for name in ("lung", "imagenet", "a-second-name"):
        with cache.start_run(stores.get(name, stores["lung"]).fingerprint, name) as ledger:
            ledger.finish(not_reached=0)
    with pytest.raises(UsageError, match=r"(?=.*\(a-second-name\))(?=.*\(imagenet\)).*--encoder or --fingerprint"):
        choose_store(cache, None)
    for name, meant in {"imagenet": "imagenet", "lung": "lung", "a-second-name": "lung"}.items():
        assert choose_store(cache, None, name).fingerprint == stores[meant].fingerprint
        assert choose_store(cache, stores[meant].fingerprint, name).fingerprint == stores[meant].fingerprint
    with pytest.raises(UsageError, match="are not of the encoder"):
        choose_store(cache, stores["lung"].fingerprint, "imagenet")
    with pytest.raises(CacheError, match=r"no features of the encoder.*\(imagenet\)"):
        choose_store(cache, None, "timm/resnet18")
    assert {entry.encoder for entry in info(cache).stores} == {"a-second-name", "imagenet"}


def test_an_encoders_directory_names_its_features(tmp_path: Path, feature_spec: FeatureSpec) -> None:
    cache = Cache.open(tmp_path / "cache", create=True)
    write_bare_encoder(tmp_path / "mine", 5)
    store = cache.store(feature_spec.model_copy(update={"encoder": read_card(tmp_path / "mine").identity}))
    cache.store(feature_spec)
    assert choose_store(cache, None, tmp_path / "mine").fingerprint == store.fingerprint
