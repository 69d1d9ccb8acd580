"""Looking into a cache, and tidying it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.cache import Cache, Store, explain, gc, info, maintenance, pack, repair, spec_difference, verify
from lusfx.cache.folder import Folder
from lusfx.config import FeatureSpec
from lusfx.errors import CacheError
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


def leaves(spec: FeatureSpec) -> list[tuple[str, FeatureSpec]]:
    """Every field of a feature spec that can have another value, with a spec that differs in it alone."""
    encoder = {
        "architecture": "other", "weights_sha256": "cd" * 32, "graph_sha256": "ef" * 32, "layer": "first",
        "pooling": "none", "dim": 6, "channels": 1, "mean": (0.1, 0.5, 0.5), "std": (0.5, 0.5, 0.1),
    }  # fmt: skip
    preprocess = {
        "version": 1, "beam": "off", "beam_frames": 8, "beam_min_confidence": 0.25, "crop": "none", "size": 96,
        "resample": "box", "stride": 2,
    }  # fmt: skip
    found = [("stored_dtype", spec.model_copy(update={"stored_dtype": "float32"}))]
    for part, values in {"encoder": encoder, "preprocess": preprocess}.items():
        for name, value in values.items():
            changed = getattr(spec, part).model_copy(update={name: value})
            found.append((f"{part}.{name}", spec.model_copy(update={part: changed})))
    return found


def test_whichever_field_differs_it_is_named_and_no_other(
    cache: Cache, store: Store, feature_spec: FeatureSpec
) -> None:
    store.write(KEY, clip())
    wanted = leaves(feature_spec)
    assert len({spec.fingerprint for _, spec in wanted} | {feature_spec.fingerprint}) == len(wanted) + 1
    for name, spec in wanted:
        explanation = explain(cache, KEY, spec)
        assert explanation.verdict == "other-fingerprint"
        assert [list(miss.differing) for miss in explanation.misses] == [[name]]
        assert json.loads(json.dumps(explanation.as_dict()))["misses"][0]["fingerprint"] == store.fingerprint


def test_no_field_of_the_feature_spec_is_left_out_of_that_test(feature_spec: FeatureSpec) -> None:
    tested = {name for name, _ in leaves(feature_spec)}
    facts = feature_spec.model_dump()
    fields = {f"{part}.{name}" for part in ("encoder", "preprocess") for name in facts[part]}
    fields |= {name for name in facts if name not in ("encoder", "preprocess")}
    one_value = {"schema_version", "precision", "preprocess.colour", "preprocess.pad"}
    assert tested == fields - one_value


def test_every_store_that_holds_the_clip_is_explained(cache: Cache, feature_spec: FeatureSpec) -> None:
    for size in (96, 128, 160):
        cache.store(with_size(feature_spec, size)).write(KEY, clip())
    differing = {str(miss.differing) for miss in explain(cache, KEY, feature_spec).misses}
    assert differing == {str({"preprocess.size": (size, 224)}) for size in (96, 128, 160)}


def test_a_damaged_spec_is_written_anew_by_its_name(cache: Cache, store: Store, feature_spec: FeatureSpec) -> None:
    store.write(KEY, clip())
    for content in (b"", b"{}", b"\xff", (store.directory / "spec.json").read_bytes() + b"\n"):
        (store.directory / "spec.json").write_bytes(content)
        assert [finding.code for finding in verify(cache).findings] == ["damaged-spec"]
        assert KEY in cache.store(feature_spec)
        assert verify(cache).sound


def test_a_store_that_is_only_just_begun_is_no_damage(cache: Cache, store: Store, feature_spec: FeatureSpec) -> None:
    (cache.directory / with_size(feature_spec, 96).fingerprint).mkdir()
    assert [item.fingerprint for item in cache.stores()] == [store.fingerprint]
    assert verify(cache).sound
    assert info(cache).stores[0].n_clips == 0


def test_a_damaged_store_can_be_removed_by_name(cache: Cache, store: Store, feature_spec: FeatureSpec) -> None:
    other = cache.store(with_size(feature_spec, 96))
    other.write(KEY, clip())
    (other.directory / "spec.json").write_text("{}")
    gc(cache, fingerprints=[other.fingerprint])
    assert not other.directory.exists()
    assert [item.fingerprint for item in cache.stores()] == [store.fingerprint]


def test_an_empty_name_removes_nothing(cache: Cache, store: Store) -> None:
    """``--fingerprint "$UNSET"``: it is the beginning of every fingerprint."""
    store.write(KEY, clip())
    with pytest.raises(CacheError, match="empty"):
        gc(cache, fingerprints=[""])
    with pytest.raises(CacheError, match="empty"):
        cache.find("")
    assert KEY in store


def test_a_name_that_fits_two_removes_nothing(cache: Cache, feature_spec: FeatureSpec) -> None:
    stores = [cache.store(with_size(feature_spec, size)) for size in range(16, 33)]
    firsts = [store.fingerprint[0] for store in stores]
    doubtful = next(first for first in firsts if firsts.count(first) > 1)  # seventeen into sixteen
    with pytest.raises(CacheError, match="begin with"):
        gc(cache, fingerprints=[doubtful])
    assert len(cache.stores()) == 17


def test_gc_counts_each_file_once_and_says_beforehand_what_it_removes(cache: Cache, store: Store) -> None:
    store.write(KEY, clip())
    old = store.path_of(KEY).with_name(".tmp-1-old")
    old.write_bytes(b"12345")
    os.utime(old, (0, 0))
    n_bytes = sum(path.stat().st_size for path in store.directory.rglob("*") if path.is_file())
    named = [store.fingerprint[:8], store.fingerprint]
    planned = gc(cache, fingerprints=named, dry_run=True)
    assert KEY in store
    removed = gc(cache, fingerprints=named)
    assert planned.files == removed.files
    assert len(set(removed.files)) == len(removed.files) == 3
    assert removed.n_bytes == n_bytes
    assert not store.directory.exists()


def test_gc_leaves_directories_that_a_run_is_about_to_write_into(cache: Cache, store: Store) -> None:
    folder = store.path_of(KEY).parent
    folder.mkdir(parents=True)
    gc(cache)
    assert folder.is_dir()


def test_gc_empties_the_quarantine(cache: Cache, store: Store) -> None:
    store.write(KEY, clip())
    damage(store, KEY)
    repair(cache)
    assert len(gc(cache).files) == 1
    assert info(cache).n_quarantined == 0


def test_two_repairs_at_once_agree(cache: Cache, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write(KEY, clip())
    damage(store, KEY)
    real = maintenance.verify

    def verify_while_another_repairs(cache: Cache) -> maintenance.Verification:
        result = real(cache)
        store.path_of(KEY).unlink()
        return result

    monkeypatch.setattr(maintenance, "verify", verify_while_another_repairs)
    repair(cache)
    assert store.keys() == set()


def test_a_clip_removed_during_verify_is_no_damage(cache: Cache, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write(KEY, clip())
    store.write("0b" * 32, clip())
    monkeypatch.setattr(Store, "files", lambda self: iter([self.path_of(KEY), self.path_of("0c" * 32)]))
    result = verify(cache)
    assert result.sound
    assert result.n_clips == 1


# ---- between the look and the deed ---------------------------------------------------------------------------------------


def mended_after_verify(monkeypatch: pytest.MonkeyPatch, mend: Callable[[], None]) -> None:
    """What was found damaged is mended before it is its turn."""
    real = maintenance.verify

    def look(cache: Cache) -> maintenance.Verification:
        result = real(cache)
        assert not result.sound
        mend()
        return result

    monkeypatch.setattr(maintenance, "verify", look)


def test_a_clip_that_was_mended_since_is_let_be(cache: Cache, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write(KEY, clip())
    damage(store, KEY)
    mended_after_verify(monkeypatch, lambda: store.write(KEY, clip()))
    assert repair(cache) == []
    assert store.read(KEY).n_frames == 2
    assert info(cache).n_quarantined == 0


def test_a_clip_that_is_mended_at_the_last_moment_is_let_be(
    cache: Cache, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the second look and the move: what is moved is judged once more, and put back."""
    store.write(KEY, clip())
    damage(store, KEY)
    real = Folder.set_aside

    def late(*arguments: Any) -> bool:
        store.write(KEY, clip())
        return real(*arguments)

    monkeypatch.setattr(Folder, "set_aside", late)
    assert repair(cache) == []
    assert store.read(KEY).n_frames == 2
    assert info(cache).n_quarantined == 0
    assert not list(cache.directory.rglob(".tmp-*"))


def test_a_pack_that_was_mended_since_is_let_be(cache: Cache, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write(KEY, clip())
    pack(cache)
    (path,) = store.packs.files()
    content = path.read_bytes()
    path.write_bytes(b"x" + content[1:])
    mended_after_verify(monkeypatch, lambda: path.write_bytes(content) and None)
    assert repair(cache) == []
    assert store.read(KEY).n_frames == 2


def test_a_ledger_that_was_mended_since_is_let_be(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    with cache.start_run("ab" * 32, "test") as ledger:
        ledger.finish(not_reached=0)
    content = ledger.path.read_bytes()
    ledger.path.write_bytes(b"x" + content)
    mended_after_verify(monkeypatch, lambda: ledger.path.write_bytes(content) and None)
    assert repair(cache) == []
    assert ledger.path.read_bytes() == content


def test_an_earlier_file_in_quarantine_is_kept(cache: Cache, store: Store) -> None:
    for _ in range(2):
        store.write(KEY, clip())
        damage(store, KEY)
        assert len(repair(cache)) == 1
    assert info(cache).n_quarantined == 2


@pytest.mark.skipif(os.name == "nt", reason="making links needs a privilege on Windows")
def test_what_is_no_plain_file_counts_as_missing_and_is_set_aside(cache: Cache, store: Store, tmp_path: Path) -> None:
    """A link to a sound clip as well: within a cache none is followed."""
    store.write(KEY, clip())
    elsewhere = tmp_path / "elsewhere.h5"
    store.path_of(KEY).rename(elsewhere)
    store.path_of(KEY).symlink_to(elsewhere)
    assert KEY not in store
    assert [finding.code for finding in repair(cache)] == ["damaged-clip"]
    store.path_of(KEY).mkdir()
    assert [finding.code for finding in repair(cache)] == ["damaged-clip"]
    assert verify(cache).sound
    assert elsewhere.exists()
    assert list(gc(cache).left.values()) == ["a directory"]


@pytest.mark.skipif(os.name == "nt", reason="making links needs a privilege on Windows")
def test_nothing_is_set_aside_through_a_link(cache: Cache, store: Store, tmp_path: Path) -> None:
    store.write(KEY, clip())
    damage(store, KEY)
    (tmp_path / "victim").mkdir()
    (cache.directory / "quarantine").symlink_to(tmp_path / "victim")
    with pytest.raises(CacheError, match="quarantine is a link"):
        repair(cache)
    assert list((tmp_path / "victim").iterdir()) == []
    assert store.path_of(KEY).exists()
