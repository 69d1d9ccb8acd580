"""Looking into a cache, and tidying it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from lusfx.cache import Cache, Store, explain, gc, info, repair, spec_difference, verify
from lusfx.config import FeatureSpec
from lusfx.types import ClipEmbeddings

KEY = "0a" * 32


def clip() -> ClipEmbeddings:
    return ClipEmbeddings(
        np.ones((2, 5), np.float32), np.zeros(2), np.arange(2, dtype=np.int64), np.zeros(2, np.uint8), {}
    )


def with_size(spec: FeatureSpec, size: int) -> FeatureSpec:
    return spec.model_copy(update={"preprocess": spec.preprocess.model_copy(update={"size": size})})


def damage(store: Store, key: str) -> None:
    path = store.path_of(key)
    path.write_bytes(path.read_bytes()[:-1])


def test_a_hit_is_explained(cache: Cache, store: Store, feature_spec: FeatureSpec) -> None:
    store.write(KEY, clip())
    assert explain(cache, KEY, feature_spec).verdict == "hit"


def test_a_clip_never_seen_is_explained(cache: Cache, store: Store, feature_spec: FeatureSpec) -> None:
    assert explain(cache, KEY, feature_spec).verdict == "never-encoded"


def test_a_miss_names_the_field_that_differs_and_no_other(
    cache: Cache, store: Store, feature_spec: FeatureSpec
) -> None:
    store.write(KEY, clip())
    explanation = explain(cache, KEY, with_size(feature_spec, 96))
    assert explanation.verdict == "other-fingerprint"
    assert [miss.differing for miss in explanation.misses] == [{"preprocess.size": (224, 96)}]


def test_damage_is_explained(cache: Cache, store: Store, feature_spec: FeatureSpec) -> None:
    store.write(KEY, clip())
    damage(store, KEY)
    assert explain(cache, KEY, feature_spec).verdict == "damaged"


def test_equal_specs_have_no_difference(feature_spec: FeatureSpec) -> None:
    assert spec_difference(feature_spec, feature_spec.model_copy()) == {}


def test_info_counts(cache: Cache, store: Store) -> None:
    store.write(KEY, clip())
    held = info(cache)
    assert [(item.fingerprint, item.n_clips) for item in held.stores] == [(store.fingerprint, 1)]
    assert held.stores[0].n_bytes == store.path_of(KEY).stat().st_size


def test_verify_finds_each_kind_of_damage(cache: Cache, store: Store, feature_spec: FeatureSpec) -> None:
    store.write(KEY, clip())
    damage(store, KEY)
    other = cache.store(with_size(feature_spec, 96))
    (other.directory / "spec.json").write_text("{}")
    with cache.start_run("ab" * 32, "test") as ledger:
        pass
    ledger.path.write_bytes(b"x" + ledger.path.read_bytes())
    with cache.start_run("ab" * 32, "test"):
        pass
    result = verify(cache)
    assert {finding.code for finding in result.findings} == {
        "damaged-clip", "damaged-spec", "damaged-ledger", "unfinished-run",
    }  # fmt: skip
    assert not result.sound


def test_repair_sets_damage_aside_and_leaves_the_rest(cache: Cache, store: Store) -> None:
    sound = "0b" * 32
    store.write(KEY, clip())
    store.write(sound, clip())
    damage(store, KEY)
    assert [finding.code for finding in repair(cache)] == ["damaged-clip"]
    assert store.keys() == {sound}
    assert info(cache).n_quarantined == 1
    assert verify(cache).sound


def test_gc_removes_old_temporary_files_only(cache: Cache, store: Store) -> None:
    store.write(KEY, clip())
    old, fresh = (store.path_of(KEY).with_name(f".tmp-1-{name}") for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    assert gc(cache, dry_run=True).files == [old.relative_to(cache.directory).as_posix()]
    assert old.exists()
    gc(cache)
    assert not old.exists()
    assert fresh.exists()
    assert KEY in store


def test_gc_removes_a_fingerprint_only_when_named(cache: Cache, store: Store, feature_spec: FeatureSpec) -> None:
    other = cache.store(with_size(feature_spec, 96))
    store.write(KEY, clip())
    other.write(KEY, clip())
    gc(cache, fingerprints=[other.fingerprint[:10]])
    assert [item.fingerprint for item in cache.stores()] == [store.fingerprint]
    assert KEY in store


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="a superuser can write anywhere")
def test_a_read_only_cache_can_be_read(cache: Cache, store: Store) -> None:
    store.write(KEY, clip())
    Path(cache.directory).chmod(0o500)
    try:
        assert verify(cache).sound
    finally:
        Path(cache.directory).chmod(0o700)
