"""The store against damage, foreign content, failing disks and careless callers."""

from __future__ import annotations

import errno
import io
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import h5py
import numpy as np
import pytest

from lusfx.cache import Cache, LedgerEntry, Stamp, Store, clip_key, repair, sealed, verify
from lusfx.cache.packing import write_pack
from lusfx.errors import CacheError, ClipNotCachedError, CorruptRecordError, UnreadableClipError
from lusfx.site_key import SiteKey
from lusfx.types import ClipEmbeddings, FrameStatus

KEY = "0a" * 32


@pytest.mark.parametrize("value", [0.0, 1.0, np.inf])
def test_a_frame_that_could_not_be_read_never_has_an_embedding(
    store: Store, embeddings: ClipEmbeddings, value: float
) -> None:
    status = embeddings.status.copy()
    status[3] = FrameStatus.UNREADABLE
    vectors = embeddings.embeddings.copy()
    vectors[3] = value
    with pytest.raises(ValueError, match="could not be read"):
        store.write(KEY, replace(embeddings, status=status, embeddings=vectors))
    vectors[3] = np.nan
    store.write(KEY, replace(embeddings, status=status, embeddings=vectors))
    assert np.isnan(store.read(KEY).embeddings[3]).all()


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.complex64])
def test_other_types_are_refused(store: Store, embeddings: ClipEmbeddings, dtype: type) -> None:
    with pytest.raises(ValueError, match="expected float16 or float32"):
        store.write(KEY, replace(embeddings, embeddings=embeddings.embeddings.astype(dtype)))


@pytest.mark.parametrize("value", [65504.0, 65505.0, -65520.0, 3.0e38])
def test_float16_is_used_exactly_where_everything_fits(store: Store, embeddings: ClipEmbeddings, value: float) -> None:
    vectors = embeddings.embeddings.copy()
    vectors[0, 0] = value
    store.write(KEY, replace(embeddings, embeddings=vectors))
    read = store.read(KEY).embeddings
    assert read.dtype == (np.float16 if abs(value) <= 65504 else np.float32)
    assert np.isfinite(read).all()


def test_long_provenance_is_kept(store: Store, embeddings: ClipEmbeddings) -> None:
    """HDF5 keeps attributes above 64 KiB elsewhere in the file."""
    facts = {f"fact {number}": "x" * 1000 for number in range(300)}
    store.write(KEY, replace(embeddings, provenance=facts))
    assert store.read(KEY).provenance == facts


def test_nothing_is_begun_in_the_place_of_a_cache_that_is_gone(
    tmp_path: Path, cache: Cache, store: Store, embeddings: ClipEmbeddings
) -> None:
    """Unmounted, moved or removed: what a run made there would be no cache, and the next run would refuse it."""
    store.write(KEY, embeddings)
    cache.directory.rename(tmp_path / "elsewhere")
    with pytest.raises(CacheError, match="cannot be written"):
        store.write(KEY, embeddings)
    with pytest.raises(CacheError, match="cannot be written"):
        write_pack(store, [(KEY, embeddings)])
    assert not cache.directory.exists()


def test_a_clip_truncated_anywhere_is_refused(store: Store, embeddings: ClipEmbeddings) -> None:
    store.write(KEY, embeddings)
    path = store.path_of(KEY)
    content = path.read_bytes()
    for length in [*range(0, 600, 7), *range(600, len(content), 101), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(CorruptRecordError):
            store.read(KEY)


def test_swapped_blocks_are_refused(store: Store, embeddings: ClipEmbeddings) -> None:
    store.write(KEY, embeddings)
    path = store.path_of(KEY)
    content = path.read_bytes()
    path.write_bytes(content[:512] + content[1024:1536] + content[512:1024] + content[1536:])
    with pytest.raises(CorruptRecordError):
        store.read(KEY)


def scalar(file: h5py.File) -> None:
    file["embeddings"] = np.float32(1)


def null(file: h5py.File) -> None:
    file["embeddings"] = h5py.Empty("<f4")


def group(file: h5py.File) -> None:
    file.create_group("embeddings")


def named_type(file: h5py.File) -> None:
    file["embeddings"] = np.dtype("<f4")


def no_frames(file: h5py.File) -> None:
    file["embeddings"] = np.zeros((0, 5), np.float32)


def other_dim(file: h5py.File) -> None:
    file["embeddings"] = np.zeros((3, 4), np.float32)


def big_endian(file: h5py.File) -> None:
    file["embeddings"] = np.zeros((3, 5), ">f4")


def not_finite(file: h5py.File) -> None:
    file["embeddings"] = np.full((3, 5), np.inf, np.float32)


def no_provenance(file: h5py.File) -> None:
    file["embeddings"] = np.zeros((3, 5), np.float32)
    del file.attrs["provenance"]


def provenance_of_text(file: h5py.File) -> None:
    file["embeddings"] = np.zeros((3, 5), np.float32)
    file.attrs["provenance"] = "text of variable length"


def deep_provenance(file: h5py.File) -> None:
    file["embeddings"] = np.zeros((3, 5), np.float32)
    file.attrs["provenance"] = np.bytes_("[" * 50_000)


def version_2(file: h5py.File) -> None:
    file["embeddings"] = np.zeros((3, 5), np.float32)
    file.attrs["version"] = np.int64(2)


FOREIGN = [
    scalar, null, group, named_type, no_frames, other_dim, big_endian, not_finite,
    no_provenance, provenance_of_text, deep_provenance, version_2,
]  # fmt: skip


@pytest.mark.parametrize("build", FOREIGN, ids=lambda build: build.__name__)
def test_a_validly_sealed_body_that_is_no_record_is_refused(store: Store, build: Callable[[h5py.File], None]) -> None:
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver="latest") as file:
        for name, text in {"format": "lusfx-clip", "clip_key": KEY, "fingerprint": store.fingerprint}.items():
            file.attrs[name] = np.bytes_(text)
        file.attrs["version"], file.attrs["provenance"] = np.int64(1), np.bytes_("{}")
        file["times_s"], file["source_frame"] = np.zeros(3), np.zeros(3, np.int64)
        file["status"] = np.zeros(3, np.uint8)
        build(file)
    sealed.write_whole(store.path_of(KEY), sealed.seal(stream.getvalue()), stream.getvalue())
    with pytest.raises(CorruptRecordError):
        store.read(KEY)


def test_a_sealed_body_that_is_not_hdf5_is_refused(store: Store) -> None:
    sealed.write_whole(store.path_of(KEY), sealed.seal(b"text"), b"text")
    with pytest.raises(CorruptRecordError, match="not a valid record"):
        store.read(KEY)


def test_a_record_of_another_fingerprint_is_refused(cache: Cache, store: Store, embeddings: ClipEmbeddings) -> None:
    other = cache.store(store.spec.model_copy(update={"stored_dtype": "float32"}))
    other.write(KEY, embeddings)
    store.path_of(KEY).parent.mkdir(parents=True)
    store.path_of(KEY).write_bytes(other.path_of(KEY).read_bytes())
    with pytest.raises(CorruptRecordError, match="fingerprint"):
        store.read(KEY)


def test_a_clip_in_the_wrong_folder_is_nowhere(cache: Cache, store: Store, embeddings: ClipEmbeddings) -> None:
    store.write(KEY, embeddings)
    wrong = store.path_of(KEY).parents[1] / "ff"
    wrong.mkdir()
    store.path_of(KEY).rename(wrong / f"{KEY}.h5")
    assert KEY not in store
    assert store.keys() == set()
    assert verify(cache).sound


@pytest.mark.parametrize("code", [errno.EACCES, errno.ESTALE, errno.EMFILE, errno.ENOMEM])
def test_a_passing_trouble_is_no_damage(
    cache: Cache, store: Store, embeddings: ClipEmbeddings, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A network disk that is gone for a minute must not make repair set sound clips aside."""
    store.write(KEY, embeddings)

    def refuse(path: Path, *, follow_links: bool) -> NoReturn:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(sealed, "open_plain_file", refuse)
    with pytest.raises(CacheError, match="cannot be read") as caught:
        store.read(KEY)
    assert not isinstance(caught.value, CorruptRecordError | ClipNotCachedError)
    assert str(cache.directory) not in str(caught.value)
    assert [finding.code for finding in verify(cache).findings] == ["unreadable-clip"]
    assert repair(cache) == []
    assert KEY in store


def test_a_bad_block_is_damage(
    cache: Cache, store: Store, embeddings: ClipEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(KEY, embeddings)

    def refuse(path: Path, *, follow_links: bool) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(sealed, "open_plain_file", refuse)
    with pytest.raises(CorruptRecordError, match="Input/output error"):
        store.read(KEY)


def test_a_read_only_cache_is_read_and_refuses_writing_clearly(
    cache: Cache, store: Store, embeddings: ClipEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(KEY, embeddings)
    real = os.open

    def read_only(path: str, flags: int, *rest: int, **places: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, flags, *rest, **places)

    monkeypatch.setattr(os, "open", read_only)
    again = Cache.open(cache.directory, create=True).store(store.spec)
    np.testing.assert_array_equal(again.read(KEY).embeddings, embeddings.embeddings.astype(np.float16))
    for refused in (lambda: again.write("0b" * 32, embeddings), lambda: cache.start_run(store.fingerprint, "test")):
        with pytest.raises(CacheError, match="Read-only") as caught:
            refused()
        assert str(cache.directory) not in str(caught.value)
    assert again.keys() == {KEY}


def test_writing_again_replaces_damage(store: Store, embeddings: ClipEmbeddings) -> None:
    store.write(KEY, embeddings)
    store.path_of(KEY).write_bytes(b"")
    store.write(KEY, embeddings)
    assert store.read(KEY).n_frames == 7


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_only_the_owner_enters_and_nothing_names_this_place(
    tmp_path: Path, cache: Cache, store: Store, embeddings: ClipEmbeddings, site_key: SiteKey
) -> None:
    source = tmp_path / "DOE^JANE.mp4"
    source.write_bytes(b"x")
    before = os.umask(0)
    try:
        store.write(clip_key(source), embeddings)
        with cache.start_run(store.fingerprint, "test") as ledger:
            ledger.record(LedgerEntry(site_key.source(str(source)), "encoded", clip_key(source)))
            ledger.finish(not_reached=0)
        with cache.stat_index(site_key) as index:
            index.record(source, replace(Stamp.of(source), is_racy=False), clip_key(source))
    finally:
        os.umask(before)
    files = [path for path in cache.directory.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".h5", ".jsonl", ".sqlite"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    directories = [cache.directory, *(path for path in cache.directory.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in directories} == {0o700}
    for path in files:
        content = path.read_bytes()
        for secret in ("DOE", str(tmp_path), *[name for name in [socket.gethostname()] if len(name) > 7]):
            assert secret.encode() not in content  # a short name of the machine may stand there by chance


def test_clip_keys_are_of_content_only(tmp_path: Path) -> None:
    one, other = tmp_path / "a.mp4", tmp_path / "b.dcm"
    one.write_bytes(b"abc")
    other.write_bytes(b"abc")
    assert clip_key(one) == clip_key(other) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("name", "code"), [("missing.mp4", "cannot-open"), (".", "not-a-file"), ("a\0b", "cannot-open")]
)
def test_a_source_that_cannot_be_read_is_not_named(tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(UnreadableClipError) as caught:
        clip_key(tmp_path / name)
    assert caught.value.code == code
    assert str(tmp_path) not in str(caught.value)
