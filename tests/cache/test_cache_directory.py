"""The cache directory: begun by one process or by many at once, and never in somebody else's folder."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lusfx.cache import Cache, Store, verify
from lusfx.config import FeatureSpec
from lusfx.durable import TEMPORARY_PREFIX
from lusfx.errors import CacheError, CorruptRecordError
from lusfx.types import ClipEmbeddings

KEY = "0a" * 32


def test_its_first_files_are_as_the_format_says(cache: Cache, feature_spec: FeatureSpec) -> None:
    cache.store(feature_spec)
    assert (cache.directory / "cache.json").read_bytes() == b'{"format":"lusfx-cache","version":1}'
    content = (cache.directory / feature_spec.fingerprint / "spec.json").read_bytes()
    assert content == json.dumps(json.loads(content), sort_keys=True, separators=(",", ":")).encode()


def at_once(work: Callable[[int], object], n_workers: int = 8) -> None:
    """Run a function in threads that start together; what one of them raises is raised."""
    barrier = threading.Barrier(n_workers)

    def wait_and_work(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(n_workers) as pool:
        for future in [pool.submit(wait_and_work, number) for number in range(n_workers)]:
            future.result()


@pytest.mark.parametrize("attempt", range(8))
def test_many_workers_may_begin_one_cache_at_once(
    tmp_path: Path, feature_spec: FeatureSpec, embeddings: ClipEmbeddings, attempt: int
) -> None:
    """A SLURM array starts hundreds of runs in the same second."""
    directory = tmp_path / "new" / "cache"

    def work(_: int) -> None:
        cache = Cache.open(directory, create=True)
        with cache.start_run(feature_spec.fingerprint, "test") as ledger:
            cache.store(feature_spec).write(KEY, embeddings)
            ledger.finish(not_reached=0)

    at_once(work)
    result = verify(Cache.open(directory))
    assert result.sound
    assert (result.n_runs, result.n_clips) == (8, 1)


@pytest.mark.slow
def test_threads_get_their_own_clips(store: Store, embeddings: ClipEmbeddings) -> None:
    """To HDF5, two images of one name are one file."""

    def work(number: int) -> None:
        key = f"{number:064x}"
        own = replace(embeddings, embeddings=embeddings.embeddings + np.float32(number))
        for _ in range(20):
            store.write(key, own)
            read = store.read(key)
            np.testing.assert_array_equal(read.embeddings, own.embeddings.astype(np.float16))

    at_once(work)


def test_a_cache_that_another_process_begins_meanwhile_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process is between its temporary file and the marker."""
    directory = tmp_path / "cache"
    directory.mkdir()
    (directory / f"{TEMPORARY_PREFIX}1-other").write_bytes(b"{")
    Cache.open(directory, create=True)
    assert (directory / "cache.json").exists()


@pytest.mark.parametrize("name", ["thesis.txt", ".hidden", "0a" * 32, "cache.json.bak"])
def test_a_folder_of_anything_else_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(CacheError, match="neither empty nor a cache"):
        Cache.open(tmp_path, create=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for create in (True, False):
        with pytest.raises(CacheError):
            Cache.open(tmp_path / "file", create=create)
    assert (tmp_path / "file").read_text() == "x"


def test_an_older_lusfx_leaves_a_newer_cache_alone(cache: Cache) -> None:
    (cache.directory / "cache.json").write_text('{"format":"lusfx-cache","version":99,"more":[]}')
    before = sorted(path.name for path in cache.directory.iterdir())
    with pytest.raises(CacheError, match="version 99, this lusfx reads 1"):
        Cache.open(cache.directory, create=True)
    assert sorted(path.name for path in cache.directory.iterdir()) == before


def test_a_marker_nested_too_deep_is_damage(cache: Cache) -> None:
    (cache.directory / "cache.json").write_text("[" * 100_000)
    with pytest.raises(CacheError, match="damaged"):
        Cache.open(cache.directory)


def test_a_cache_can_be_moved(cache: Cache, feature_spec: FeatureSpec, embeddings: ClipEmbeddings) -> None:
    cache.store(feature_spec).write(KEY, embeddings)
    moved = cache.directory.with_name("elsewhere")
    shutil.move(cache.directory, moved)
    read = Cache.open(moved).find(feature_spec.fingerprint[:12]).read(KEY)
    np.testing.assert_array_equal(read.embeddings, embeddings.embeddings.astype(np.float16))


@pytest.mark.parametrize("version", ["true", "1.0", "[1]", '"1"', "null", "-1", "9" * 400, '"\\u001b[31m"', "NaN"])
def test_a_version_that_is_no_small_number_is_damage_and_is_not_repeated(cache: Cache, version: str) -> None:
    (cache.directory / "cache.json").write_text(f'{{"format":"lusfx-cache","version":{version}}}')
    with pytest.raises(CacheError, match="damaged or foreign"):
        Cache.open(cache.directory)


@pytest.mark.parametrize(
    "change", [{"architecture": "x\x1b]0;title\x07"}, {"layer": "x\n"}, {"architecture": "x" * 10_000}]
)
def test_a_spec_whose_names_are_no_names_is_damage_though_its_digest_is_right(
    cache: Cache, feature_spec: FeatureSpec, change: dict[str, str]
) -> None:
    spec = feature_spec.model_copy(update={"encoder": feature_spec.encoder.model_copy(update=change)})
    directory = cache.directory / spec.fingerprint
    directory.mkdir()
    (directory / "spec.json").write_text(spec.canonical_json())
    with pytest.raises(CorruptRecordError):
        cache.stores()
    assert [finding.code for finding in verify(cache).findings] == ["damaged-spec"]
