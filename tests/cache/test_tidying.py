"""Tidying removes what is the cache's own, and names what it left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lusfx.cache import Cache, Store, gc, pack, verify
from lusfx.types import ClipEmbeddings

KEY = "0a" * 32

pytestmark = pytest.mark.skipif(os.name == "nt", reason="making links needs a privilege on Windows")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A directory outside of the cache, whose files have names that tidying looks for."""
    folder = tmp_path / "victim"
    folder.mkdir()
    for name in ("thesis.txt", ".tmp-1-old", f"{KEY}.h5", "spec.json"):
        (folder / name).write_text("precious")
        os.utime(folder / name, (0, 0))
    return folder


@pytest.fixture
def filled(cache: Cache, store: Store, embeddings: ClipEmbeddings) -> Store:
    """A store with a clip, and a temporary file of a killed run."""
    store.write(KEY, embeddings)
    old = store.path_of(KEY).with_name(".tmp-1-old")
    old.write_bytes(b"x")
    os.utime(old, (0, 0))
    return store


def aged(path: Path) -> Path:
    os.utime(path, (0, 0), follow_symlinks=False)
    return path


def quarantine(store: Store, victim: Path) -> Path:
    place = store.directory.parent / "quarantine"
    place.symlink_to(victim)
    return place


def temporary(store: Store, victim: Path) -> Path:
    place = store.directory.parent / ".tmp-1-dir"
    place.mkdir()
    return place


def within_quarantine(store: Store, victim: Path) -> Path:
    place = store.directory.parent / "quarantine" / "inner"
    place.mkdir(parents=True)
    (place / "file").write_text("x")
    return place


def digits(store: Store, victim: Path) -> Path:
    place = store.path_of(KEY).parent / ".tmp-2-dir"
    place.mkdir()
    return place


def runs(store: Store, victim: Path) -> Path:
    place = store.directory.parent / "runs"
    place.symlink_to(victim)
    return place


@pytest.mark.parametrize("plant", [quarantine, temporary, within_quarantine, digits, runs])
def test_what_is_no_file_is_left_and_named_and_the_rest_is_tidied(
    cache: Cache, filled: Store, victim: Path, plant: Callable[[Store, Path], Path]
) -> None:
    place = aged(plant(filled, victim))
    before = sorted((path.name, path.read_text()) for path in victim.iterdir())
    planned = gc(cache, dry_run=True)
    removed = gc(cache)
    assert planned.files == removed.files == [f"{filled.fingerprint}/clips/0a/.tmp-1-old"]
    assert list(planned.left) == list(removed.left) == [place.relative_to(cache.directory).as_posix()]
    assert os.path.lexists(place)
    assert sorted((path.name, path.read_text()) for path in victim.iterdir()) == before
    assert KEY in filled


def test_an_old_link_of_a_temporary_name_is_removed_and_not_what_it_leads_to(
    cache: Cache, filled: Store, victim: Path
) -> None:
    for number, target in enumerate((victim, victim / "thesis.txt", victim / "missing")):
        link = cache.directory / f".tmp-{number}-link"
        link.symlink_to(target)
        aged(link)
    assert len(gc(cache).files) == 4
    assert len(list(victim.iterdir())) == 4


def test_only_directories_of_the_cache_are_entered(cache: Cache, filled: Store, victim: Path) -> None:
    for folder in (cache.directory / "mine", filled.directory / "mine", filled.directory / "clips" / "mine"):
        folder.mkdir()
        (folder / ".tmp-notes").write_text("x")
        aged(folder / ".tmp-notes")
    (filled.directory / "linked").symlink_to(victim)
    assert gc(cache).files == [f"{filled.fingerprint}/clips/0a/.tmp-1-old"]
    removal = gc(cache, fingerprints=[filled.fingerprint])
    assert (filled.directory / "mine" / ".tmp-notes").exists()
    assert (filled.directory / "clips" / "mine" / ".tmp-notes").exists()
    fingerprint = filled.fingerprint
    assert {fingerprint, f"{fingerprint}/mine", f"{fingerprint}/clips", f"{fingerprint}/clips/mine"} == set(
        removal.left
    )
    assert f"{fingerprint}/linked" in removal.files
    assert not filled.path_of(KEY).exists()
    assert len(list(victim.iterdir())) == 4


def test_a_store_that_is_a_link_is_none_and_nothing_is_written_through_it(
    cache: Cache, filled: Store, victim: Path
) -> None:
    moved = victim / "store"
    filled.directory.rename(moved)
    filled.directory.symlink_to(moved)
    assert [finding.code for finding in verify(cache).findings] == ["no-directory"]
    assert cache.stores() == []
    assert gc(cache).files == []
    assert len(list(moved.rglob("*"))) == 5


def test_a_file_that_is_written_to_again_is_not_abandoned(
    cache: Cache, filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = gc(cache, dry_run=True)
    (cache.directory / planned.files[0]).write_bytes(b"a run that was stopped for an hour goes on")
    assert gc(cache).files == []
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert gc(cache).files == planned.files


def test_a_loose_file_goes_only_where_its_pack_gives_the_clip(
    cache: Cache, filled: Store, embeddings: ClipEmbeddings
) -> None:
    other = "0b" * 32
    filled.write(other, replace(embeddings, provenance={"reader": "other"}))
    pack(cache)
    for key in (KEY, other):
        filled.write(key, embeddings)
    (path,) = filled.packs.files()
    layout, content = filled.packs.open(path).layout, bytearray(path.read_bytes())
    content[layout.offsets["embeddings"] + layout.n_bytes("embeddings") - 1] ^= 1  # of the last clip
    path.write_bytes(content)
    gc(cache)
    assert not filled.path_of(KEY).exists()
    assert filled.path_of(other).exists()


def test_what_is_removed_is_named_by_its_encoder(cache: Cache, filled: Store) -> None:
    """As runs called it; of a store that no run is on record for, nobody knows."""
    assert gc(cache, dry_run=True).features == {}
    planned = gc(cache, fingerprints=[filled.fingerprint[:12]], dry_run=True)
    assert planned.features == {filled.fingerprint: "an unknown encoder"}
    with cache.start_run(filled.fingerprint, "lung-lite0"):
        pass
    removal = gc(cache, fingerprints=[filled.fingerprint[:12]])
    assert removal.features == {filled.fingerprint: "lung-lite0"}
    assert removal.as_dict()["features"] == removal.features
