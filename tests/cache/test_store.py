"""The store: what is written is read back, and nothing else ever is."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lusfx.cache import Cache, Store, sealed
from lusfx.cache.half_precision import keeps
from lusfx.config import FeatureSpec
from lusfx.errors import CacheError, ClipNotCachedError, CorruptRecordError
from lusfx.types import ClipEmbeddings, FrameStatus

KEY = "0a" * 32


def make_clip(n_frames: int = 7, dim: int = 5, seed: int = 0) -> ClipEmbeddings:
    generator = np.random.default_rng(seed)
    return ClipEmbeddings(
        generator.normal(size=(n_frames, dim)).astype(np.float32),
        np.arange(n_frames) / 25,
        np.arange(n_frames, dtype=np.int64),
        np.zeros(n_frames, np.uint8),
        {"reader": "video", "beam_confidence": 0.75, "height": 350},
    )


@st.composite
def clips(draw: st.DrawFn) -> ClipEmbeddings:
    n_frames = draw(st.integers(1, 300))
    values = st.floats(width=32, allow_nan=False, allow_infinity=False)
    embeddings = draw(hnp.arrays(np.float32, (n_frames, 5), elements=values, fill=values))
    status = draw(hnp.arrays(np.uint8, n_frames, elements=st.sampled_from(list(FrameStatus)), fill=st.just(0)))
    embeddings = np.where(status[:, None] == FrameStatus.OK, embeddings, np.float32(np.nan))
    times = draw(hnp.arrays(np.float64, n_frames, elements=st.floats(0, 1e6) | st.just(np.nan), fill=st.just(0.0)))
    times[~np.isnan(times)] = np.sort(times[~np.isnan(times)])
    provenance = draw(st.dictionaries(st.text(max_size=9), st.text(max_size=9) | st.integers(-9, 9) | st.booleans()))
    return ClipEmbeddings(embeddings, times, np.arange(n_frames, dtype=np.int64), status, provenance)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(clip=clips())
def test_what_is_written_is_read_back(store: Store, clip: ClipEmbeddings) -> None:
    store.write(KEY, clip)
    read = store.read(KEY)
    readable = clip.embeddings[clip.status == FrameStatus.OK]
    dtype = np.float16 if keeps(readable) else np.float32
    assert read.embeddings.dtype == dtype
    np.testing.assert_array_equal(read.embeddings, clip.embeddings.astype(dtype))
    np.testing.assert_array_equal(read.times_s, clip.times_s)
    np.testing.assert_array_equal(read.source_frame, clip.source_frame)
    np.testing.assert_array_equal(read.status, clip.status)
    assert read.provenance == dict(clip.provenance)


def test_float32_is_kept_where_the_spec_says_so(cache: Cache, feature_spec: FeatureSpec) -> None:
    store = cache.store(feature_spec.model_copy(update={"stored_dtype": "float32"}))
    store.write(KEY, make_clip())
    np.testing.assert_array_equal(store.read(KEY).embeddings, make_clip().embeddings)


@pytest.mark.parametrize(
    "change",
    [
        {"embeddings": np.zeros((7, 4), np.float32)},
        {"embeddings": np.zeros((0, 5), np.float32)},
        {"embeddings": np.full((7, 5), np.nan, np.float32)},
        {"times_s": np.zeros(6)},
        {"status": np.zeros(8, np.uint8)},
    ],
)
def test_nonsense_is_not_written(store: Store, change: dict[str, np.ndarray]) -> None:
    clip = make_clip()
    fields = {name: getattr(clip, name) for name in ("embeddings", "times_s", "source_frame", "status")} | change
    with pytest.raises(ValueError):
        store.write(KEY, ClipEmbeddings(**fields))
    assert KEY not in store


def test_a_missing_clip_is_a_key_error_with_the_next_step(store: Store) -> None:
    with pytest.raises(ClipNotCachedError, match="lusfx extract") as caught:
        store.read(KEY)
    assert isinstance(caught.value, KeyError)


@pytest.mark.parametrize("key", ["", "ab", "../" * 20 + "aaaa", "G" * 64, "0A" * 32])
def test_only_clip_keys_are_names(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal"):
        store.path_of(key)


def test_two_thousand_flipped_bits_are_all_noticed(store: Store) -> None:
    store.write(KEY, make_clip())
    path = store.path_of(KEY)
    content = path.read_bytes()
    generator = np.random.default_rng(1)
    for position, bit in zip(generator.integers(0, len(content), 2000), generator.integers(0, 8, 2000), strict=True):
        altered = bytearray(content)
        altered[position] ^= 1 << int(bit)
        path.write_bytes(altered)
        with pytest.raises(CorruptRecordError):
            store.read(KEY)


def test_a_record_under_another_name_is_refused(store: Store) -> None:
    store.write(KEY, make_clip())
    other = "0a" * 31 + "ff"
    store.path_of(KEY).rename(store.path_of(other))
    with pytest.raises(CorruptRecordError, match="clip_key"):
        store.read(other)


def test_any_hdf5_tool_opens_a_clip_file(store: Store) -> None:
    store.write(KEY, make_clip())
    with h5py.File(store.path_of(KEY)) as file:
        assert file["embeddings"].shape == (7, 5)
        assert file["embeddings"].fletcher32
        assert file.userblock_size == sealed.SEAL_BYTES


def crafted(build: object) -> bytes:
    """A sealed file with an HDF5 body that the store never writes."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver="latest") as file:
        file.attrs["format"], file.attrs["version"] = np.bytes_("lusfx-clip"), np.int64(1)
        file.attrs["clip_key"], file.attrs["provenance"] = np.bytes_(KEY), np.bytes_("{}")
        file["times_s"], file["source_frame"] = np.zeros(3), np.zeros(3, np.int64)
        file["status"] = np.zeros(3, np.uint8)
        build(file)
    return sealed.seal(stream.getvalue()) + stream.getvalue()


def external_link(file: h5py.File) -> None:
    file["embeddings"] = h5py.ExternalLink("/etc/hostname", "/x")


def soft_link(file: h5py.File) -> None:
    file["embeddings"] = h5py.SoftLink("/times_s")


def external_storage(file: h5py.File) -> None:
    file.create_dataset("embeddings", (3, 5), "<f4", external=[("/etc/hostname", 0, 60)])


def virtual_dataset(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3, 5), "<f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (3, 5))
    file.create_virtual_dataset("embeddings", layout)


def far_too_large(file: h5py.File) -> None:
    file.create_dataset("embeddings", (1 << 30, 5), "<f4", chunks=(256, 5))


def other_objects(file: h5py.File) -> None:
    file["embeddings"] = np.zeros((3, 5), np.float32)
    file["more"] = np.zeros(3)


def other_type(file: h5py.File) -> None:
    file["embeddings"] = np.zeros((3, 5), np.float64)


@pytest.mark.parametrize(
    "build", [external_link, soft_link, external_storage, virtual_dataset, far_too_large, other_objects, other_type]
)
def test_a_validly_sealed_file_with_foreign_content_is_refused(store: Store, build: object) -> None:
    def with_fingerprint(file: h5py.File) -> None:
        file.attrs["fingerprint"] = np.bytes_(store.fingerprint)
        build(file)

    path = store.path_of(KEY)
    path.parent.mkdir(parents=True)
    path.write_bytes(crafted(with_fingerprint))
    with pytest.raises(CorruptRecordError):
        store.read(KEY)


def test_keys_lists_clips_only(store: Store) -> None:
    keys = {f"{number:064x}" for number in range(40)}
    for key in keys:
        store.write(key, make_clip())
    (store.path_of(KEY).parent).mkdir(exist_ok=True)
    (store.path_of(KEY).parent / ".tmp-1-x").write_bytes(b"")
    (store.path_of(KEY).parent / "notes.h5").write_bytes(b"")
    assert store.keys() == keys


def write_many(directory: Path, first: int) -> None:
    store = Cache.open(directory).stores()[0]
    for number in range(60):
        store.write(f"{(first + number) % 80:064x}", make_clip(seed=(first + number) % 80))


@pytest.mark.slow
def test_two_writers_at_once_lose_nothing(cache: Cache, store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_many, args=(cache.directory, first)) for first in (0, 30)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert len(store.keys()) == 80
    for number in range(80):
        expected = make_clip(seed=number).embeddings.astype(np.float16)
        np.testing.assert_array_equal(store.read(f"{number:064x}").embeddings, expected)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_writer_leaves_only_whole_clips(cache: Cache, store: Store) -> None:
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    delays = np.random.default_rng(3).uniform(0.01, 0.25, 12)
    for delay in delays:
        worker = context.Process(target=write_many, args=(cache.directory, 0))
        worker.start()
        time.sleep(float(delay))
        os.kill(worker.pid or 0, signal.SIGKILL)
        worker.join()
        for path in store.files():
            key = path.stem
            expected = make_clip(seed=int(key, 16)).embeddings.astype(np.float16)
            np.testing.assert_array_equal(store.read(key).embeddings, expected)


def test_a_foreign_folder_is_neither_opened_nor_written_into(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(CacheError, match="neither empty nor a cache"):
        Cache.open(tmp_path, create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_no_cache_is_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="no cache"):
        Cache.open(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ('{"format":"lusfx-cache","version":3}', "version 3"),
        ('{"format":"other","version":1}', "foreign"),
        ("[", "damaged"),
        ("[]", "damaged"),
    ],
)
def test_another_format_is_named(cache: Cache, marker: str, message: str) -> None:
    (cache.directory / "cache.json").write_text(marker)
    with pytest.raises(CacheError, match=message):
        Cache.open(cache.directory)


def test_an_altered_feature_spec_is_noticed(cache: Cache, store: Store) -> None:
    path = store.directory / "spec.json"
    facts = json.loads(path.read_text())
    facts["preprocess"]["size"] = 96
    path.write_text(json.dumps(facts))
    with pytest.raises(CorruptRecordError, match="not the one"):
        cache.stores()


def test_a_store_is_found_by_the_beginning_of_its_fingerprint(cache: Cache, store: Store) -> None:
    assert cache.find(store.fingerprint[:8]).fingerprint == store.fingerprint
    with pytest.raises(CacheError, match="0 fingerprints"):
        cache.find("zz")
