"""Packs: what is read from them is what was written, or an error; and nothing that happens meanwhile loses a clip."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lusfx.cache import Cache, Store, gc, info, pack, pack_layout, packing, repair, verify
from lusfx.cache.pack import Pack
from lusfx.cache.pack_layout import SEAL_BYTES, PackLayout
from lusfx.cache.packing import write_pack
from lusfx.cache.packs import Packs
from lusfx.errors import CacheError, ClipNotCachedError, CorruptRecordError
from lusfx.types import ClipEmbeddings, FrameStatus

DIM = 5


def key_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def make_clip(number: int, n_frames: int = 3, large: bool = False) -> ClipEmbeddings:
    """A clip that is told from every other; with a frame that could not be read, if it has several."""
    generator = np.random.default_rng(number)
    embeddings = generator.normal(size=(n_frames, DIM)).astype(np.float32) * (1e6 if large else 1)
    status = np.zeros(n_frames, np.uint8)
    if n_frames > 1:
        status[number % n_frames] = FrameStatus.UNREADABLE
        embeddings[number % n_frames] = np.nan
    return ClipEmbeddings(
        embeddings,
        np.sort(generator.random(n_frames)),
        np.arange(n_frames) * 2,
        status,
        {"reader": "video", "number": number},
    )


def fill(store: Store, numbers: range) -> dict[str, ClipEmbeddings]:
    """Write clips, and say what is read back of them."""
    for number in numbers:
        store.write(key_of(number), make_clip(number, 1 + number % 4))
    return {key_of(number): store.read(key_of(number)) for number in numbers}


def assert_same(found: ClipEmbeddings, expected: ClipEmbeddings) -> None:
    for name in ("embeddings", "times_s", "source_frame", "status"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert found.provenance == expected.provenance


def assert_holds(cache: Cache, expected: dict[str, ClipEmbeddings]) -> None:
    """That a process which looks at the cache now finds all clips, whichever way it reads."""
    store = Cache.open(cache.directory).stores()[0]
    assert store.keys() == expected.keys()
    for key, clip in expected.items():
        assert key in store
        assert_same(store.read(key), clip)
    assert {key: clip.n_frames for key, clip in store.read_all(expected)} == {
        key: clip.n_frames for key, clip in expected.items()
    }


def the_pack(store: Store) -> Path:
    (path,) = store.packs.files()
    return path


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(clips=st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=9), pack_bytes=st.integers(1, 400))
def test_what_is_packed_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, store: Store, clips: list[tuple[int, bool]], pack_bytes: int
) -> None:
    """Whatever the number of clips, their lengths and types, and the size of packs."""
    cache = Cache.open(tmp_path_factory.mktemp("cache") / "cache", create=True)
    store = cache.store(store.spec)
    expected = {}
    for number, (n_frames, large) in enumerate(clips):
        store.write(key_of(number), make_clip(number, n_frames, large))
        expected[key_of(number)] = store.read(key_of(number))
    done = pack(cache, pack_bytes=pack_bytes)
    assert (done.clips, done.damaged) == (len(clips), [])
    assert list(store.files()) == []
    assert_holds(cache, expected)
    assert verify(cache).sound
    assert verify(cache).n_clips == len(clips)
    again = pack(cache, pack_bytes=1)  # nothing is loose, and no pack is small
    assert (again.clips, again.packs) == (0, 0)


def test_a_pack_is_an_hdf5_file_that_any_tool_opens(cache: Cache, store: Store) -> None:
    expected = fill(store, range(6))
    pack(cache)
    with h5py.File(the_pack(store)) as file:
        assert file.attrs["fingerprint"].decode() == store.fingerprint
        keys = [key.decode() for key in file["clip_key"]]
        assert keys == sorted(expected)
        for number, key in enumerate(keys):
            rows = slice(*file["first_frame"][number : number + 2])
            np.testing.assert_array_equal(file["embeddings"][rows], expected[key].embeddings)
            np.testing.assert_array_equal(file["status"][rows], expected[key].status)


def test_equal_clips_give_equal_packs(cache: Cache, store: Store, tmp_path: Path) -> None:
    other = Cache.open(tmp_path / "other", create=True)
    for one in (cache, other):
        fill(one.store(store.spec), range(4))
        pack(one)
    one, two = the_pack(store), the_pack(other.store(store.spec))
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()


def test_types_lie_in_packs_of_their_own(cache: Cache, store: Store) -> None:
    for number in range(4):
        store.write(key_of(number), make_clip(number, large=number == 2))
    assert pack(cache).packs == 2
    assert {store.read(key_of(number)).embeddings.dtype.str for number in (1, 3)} == {"<f2"}
    assert store.read(key_of(2)).embeddings.dtype == np.float32


def test_small_packs_are_merged_and_large_ones_stay(cache: Cache, store: Store) -> None:
    expected = fill(store, range(3))
    assert pack(cache).packs == 1
    (small,) = store.packs.files()
    expected |= fill(store, range(3, 5))
    done = pack(cache)
    assert (done.clips, done.packs, done.merged) == (2, 1, 1)
    assert not small.exists()
    assert_holds(cache, expected)
    large = the_pack(store)
    expected |= fill(store, range(5, 7))
    done = pack(cache, pack_bytes=2)
    assert done.merged == 0
    assert large.exists()
    assert_holds(cache, expected)


def test_only_the_named_features_are_packed(cache: Cache, store: Store) -> None:
    other = cache.store(store.spec.model_copy(update={"stored_dtype": "float32"}))
    for each in (store, other):
        fill(each, range(2))
    pack(cache, fingerprints=[other.fingerprint[:12]])
    assert len(list(store.files())) == 2
    assert list(other.files()) == []


def test_older_programs_refuse_a_cache_from_its_first_pack_on(cache: Cache, store: Store) -> None:
    marker = cache.directory / "cache.json"
    assert b'"version":1' in marker.read_bytes()
    pack(cache)  # there is nothing to pack
    assert b'"version":1' in marker.read_bytes()
    fill(store, range(1))
    pack(cache)
    assert b'"version":2' in marker.read_bytes()
    assert Cache.open(cache.directory).stores()[0].keys() == {key_of(0)}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no pwrite")
def test_a_flipped_bit_anywhere_in_a_pack_is_noticed(cache: Cache, store: Store) -> None:
    """Every byte of it: no clip is read as anything but what was written, and a check of the whole notices each."""
    expected = fill(store, range(2))
    pack(cache)
    path = the_pack(store)
    content = path.read_bytes()
    assert len(content) > SEAL_BYTES
    unnoticed = []
    with path.open("r+b", buffering=0) as file:
        for position, byte in enumerate(content):
            os.pwrite(file.fileno(), bytes([byte ^ 1 << position % 8]), position)
            packs = Packs(path.parent, store.fingerprint, DIM)
            packs.refresh()
            for key, clip in packs.read_all(expected):
                assert_same(clip, expected[key])
            with suppress(CorruptRecordError):
                packs.open(path).verify()
                unnoticed.append(position)
            os.pwrite(file.fileno(), bytes([byte]), position)
    assert unnoticed == []
    assert_holds(cache, expected)


def test_a_truncated_pack_gives_what_is_whole(cache: Cache, store: Store) -> None:
    expected = fill(store, range(4))
    pack(cache)
    path = the_pack(store)
    content = path.read_bytes()
    for length in [*range(0, len(content), 97), len(content) - 1]:
        path.write_bytes(content[:length])
        reading = Store.open(store.directory)
        for key, clip in expected.items():
            try:
                assert_same(reading.read(key), clip)
            except (CorruptRecordError, ClipNotCachedError):
                continue
        assert not verify(cache).sound
    layout = PackLayout.of_seal(content[:SEAL_BYTES])
    end_of_frames = layout.offsets["embeddings"] + layout.n_bytes("embeddings")
    path.write_bytes(content[: end_of_frames - 1])  # a byte of the last frame, which belongs to the last clip
    first, *_, last = sorted(expected)
    assert_same(Store.open(store.directory).read(first), expected[first])
    with pytest.raises(CorruptRecordError):
        Store.open(store.directory).read(last)


def test_what_a_seal_claims_takes_no_memory(cache: Cache, store: Store) -> None:
    """A validly sealed pack of many petabytes that is a few bytes long."""
    fill(store, range(1))
    pack(cache)
    path = the_pack(store)
    content = path.read_bytes()
    layout = replace(PackLayout.of_seal(content[:SEAL_BYTES]), n_clips=1 << 40, n_frames=1 << 40, body_bytes=1 << 60)
    path.write_bytes(layout.seal() + content[SEAL_BYTES:])
    reading = Store.open(store.directory)
    assert reading.keys() == set()
    assert list(reading.packs.damaged) == [path]
    with pytest.raises(ClipNotCachedError, match="damaged pack may hold it"):
        reading.read(key_of(0))


def damage_a_clip(path: Path, store: Store, key: str) -> None:
    """Flip a bit of the embeddings of a packed clip."""
    found = store.packs.open(path)
    number = found.keys.index(key)
    at = found.layout.offsets["embeddings"] + sum(found.n_bytes_of(n) for n in range(number))
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_repair_saves_the_sound_clips_of_a_damaged_pack(cache: Cache, store: Store) -> None:
    expected = fill(store, range(5))
    pack(cache)
    path = the_pack(store)
    damage_a_clip(path, store, key_of(3))
    with pytest.raises(CorruptRecordError, match="damaged in its pack"):
        store.read(key_of(3))
    failed: dict[str, CacheError] = {}
    assert len(dict(store.read_all(expected, failed.__setitem__))) == 4
    assert failed.keys() == {key_of(3)}
    with pytest.raises(CorruptRecordError):
        list(store.read_all(expected))
    (finding,) = verify(cache).findings
    assert (finding.code, finding.detail) == ("damaged-pack", "1 of the pack's 5 clips are damaged")
    assert [found.file for found in repair(cache)] == [f"{store.fingerprint}/packs/{path.name}"]
    del expected[key_of(3)]
    assert_holds(cache, expected)
    assert verify(cache).sound
    assert info(cache).n_quarantined == 1
    assert gc(cache).files == [f"quarantine/{store.fingerprint[:12]}-{path.name}"]


def test_a_pack_of_which_no_clip_is_hurt_is_mended_in_place(cache: Cache, store: Store) -> None:
    """A flipped bit in what only HDF5 reads."""
    expected = fill(store, range(3))
    pack(cache)
    path = the_pack(store)
    content = bytearray(path.read_bytes())
    content[SEAL_BYTES] ^= 1
    path.write_bytes(content)
    assert len(repair(cache)) == 1
    assert verify(cache).sound
    assert info(cache).n_quarantined == 0
    assert_holds(cache, expected)


def test_a_pack_that_tells_nothing_any_more_is_set_aside_whole(cache: Cache, store: Store) -> None:
    fill(store, range(3))
    pack(cache)
    path = the_pack(store)
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    assert [finding.code for finding in repair(cache)] == ["damaged-pack"]
    assert store.keys() == set()
    assert verify(cache).sound
    assert info(cache).n_quarantined == 1


def test_a_damaged_clip_is_read_from_wherever_it_is_sound(cache: Cache, store: Store) -> None:
    expected = fill(store, range(3))
    pack(cache)
    damage_a_clip(the_pack(store), store, key_of(1))
    store.write(key_of(1), expected[key_of(1)])  # encoded again
    assert_holds(cache, expected)
    done = pack(cache)  # the damaged pack must not be what remains
    assert (done.clips, done.merged) == (1, 0)
    assert_holds(cache, expected)
    repair(cache)
    assert_holds(cache, expected)
    assert verify(cache).sound


def test_damaged_loose_clips_are_left_to_repair(cache: Cache, store: Store) -> None:
    expected = fill(store, range(3))
    store.path_of(key_of(1)).write_bytes(b"")
    done = pack(cache)
    assert (done.clips, done.damaged) == (2, [key_of(1)])
    assert "3 loose clips = 2 packed + 1 damaged" in done.summary()
    del expected[key_of(1)]
    repair(cache)
    assert_holds(cache, expected)


def test_a_clip_that_is_loose_and_packed_counts_once_and_gc_tidies_it(cache: Cache, store: Store) -> None:
    expected = fill(store, range(3))
    content = store.path_of(key_of(0)).read_bytes()
    pack(cache)
    store.path_of(key_of(0)).write_bytes(content)
    (held,) = info(cache).stores
    assert (held.n_clips, held.n_packed, held.n_packs) == (3, 3, 1)
    assert_holds(cache, expected)
    place = f"{store.fingerprint}/clips/{key_of(0)[:2]}/{key_of(0)}.h5"
    assert gc(cache, dry_run=True).files == gc(cache).files == [place]
    assert_holds(cache, expected)
    store.path_of(key_of(0)).write_bytes(content)
    damage_a_clip(the_pack(store), store, key_of(0))
    assert gc(cache).files == []
    assert_holds(cache, expected)


def test_a_clip_that_is_loose_and_in_a_pack_that_stays_is_only_removed(cache: Cache, store: Store) -> None:
    expected = fill(store, range(3))
    content = store.path_of(key_of(0)).read_bytes()
    pack(cache)
    store.path_of(key_of(0)).write_bytes(content)
    done = pack(cache, pack_bytes=2)
    assert (done.clips, done.packs) == (1, 0)
    assert list(store.files()) == []
    assert_holds(cache, expected)


def test_a_reader_that_finds_a_file_gone_looks_in_the_packs_again(cache: Cache, store: Store) -> None:
    expected = fill(store, range(4))
    reading = Store.open(store.directory)
    assert reading.keys() == expected.keys()
    walk = reading.read_all(sorted(expected))
    found = dict([next(walk)])
    pack(cache)
    found |= dict(walk)
    fill(store, range(4, 6))
    first = the_pack(store)
    pack(cache)  # merges the pack that the reader knows into another
    assert not first.exists()
    assert reading.read(key_of(0)).n_frames == expected[key_of(0)].n_frames
    assert found.keys() == expected.keys()


def test_a_disk_that_gives_back_something_else_loses_nothing(
    cache: Cache, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fill(store, range(3))
    real = packing.durable.write_all

    def forgetful(descriptor: int, part: bytes | memoryview) -> None:
        real(descriptor, bytes(len(part)) if len(part) == 2 * DIM * 2 else part)

    monkeypatch.setattr(packing.durable, "write_all", forgetful)
    with pytest.raises(CacheError, match="does not give back"):
        pack(cache)
    monkeypatch.undo()
    assert store.packs.files() == []
    assert_holds(cache, expected)


def test_a_full_disk_is_one_clear_error(cache: Cache, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fill(store, range(3))

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CacheError, match="No space left"):
        pack(cache)
    monkeypatch.undo()
    assert list(cache.directory.rglob(".tmp-*")) == []
    assert_holds(cache, expected)


@pytest.mark.slow
def test_many_pack_read_and_write_at_once(cache: Cache, store: Store) -> None:
    """Two packers, two readers and a writer: every clip is found whenever it is asked for."""
    expected = fill(store, range(40))
    writing, troubles = threading.Event(), []

    def work(job: object) -> None:
        try:
            while not writing.is_set():
                job()
        except Exception as error:
            troubles.append(error)

    def read() -> None:
        reading = Store.open(store.directory)
        assert reading.keys() >= expected.keys()
        for key, clip in reading.read_all(expected):
            assert_same(clip, expected[key])

    def pack_all() -> None:
        pack(cache, pack_bytes=600)

    threads = [threading.Thread(target=work, args=(job,)) for job in (read, read, pack_all, pack_all)]
    for thread in threads:
        thread.start()
    later = fill(store, range(40, 80))
    writing.set()
    for thread in threads:
        thread.join()
    assert troubles == []
    pack(cache)
    assert_holds(cache, expected | later)
    assert verify(cache).sound


PACK_FOR_EVER = """
import sys
from pathlib import Path
from lusfx.cache import Cache, pack
print("ready", flush=True)
while True:
    pack(Cache.open(Path(sys.argv[1])), pack_bytes=int(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_packer_that_is_killed_loses_nothing(cache: Cache, store: Store) -> None:
    """At moments that hit every stage, while clips are written."""
    expected: dict[str, ClipEmbeddings] = {}
    for number, delay_s in enumerate(np.linspace(0.0, 0.1, 6)):
        expected |= fill(store, range(30 * number, 30 * number + 15))
        words = [sys.executable, "-c", PACK_FOR_EVER, str(cache.directory), str(200 * (1 + number % 4))]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as packer:
            assert packer.stdout is not None
            packer.stdout.readline()
            expected |= fill(store, range(30 * number + 15, 30 * number + 20))
            time.sleep(delay_s)
            packer.send_signal(signal.SIGKILL)
        assert_holds(cache, expected)
        assert verify(cache).sound
    pack(cache)
    gc(cache)
    assert list(store.files()) == []
    assert_holds(cache, expected)


def test_a_pack_has_no_more_clips_than_readers_take(
    cache: Cache, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fill(store, range(5))
    for module in (packing, pack_layout):
        monkeypatch.setattr(module, "MAX_CLIPS", 2)
    assert pack(cache).packs == 3
    assert_holds(cache, expected)
    monkeypatch.setattr(pack_layout, "MAX_CLIPS", 1)
    assert {finding.code for finding in verify(cache).findings} == {"damaged-pack"}


@pytest.mark.parametrize("merged", [True, False])
def test_a_pack_that_is_gone_before_it_is_read_back_costs_no_clip(
    cache: Cache, store: Store, monkeypatch: pytest.MonkeyPatch, merged: bool
) -> None:
    """Others merge it, or find it damaged and set it aside. In the second case its clips are nowhere else."""
    expected = fill(store, range(3))
    other = next(iter(fill(store, range(9, 10)).items()))
    store.path_of(other[0]).unlink()
    real, taken = Packs.open, list[Path]()

    def vanish(packs: Packs, path: Path, pack_id: str | None = None) -> Pack:
        if not taken:
            taken.append(path)
            if merged:
                write_pack(store, sorted([other, *expected.items()], key=lambda clip: clip[0]))
            path.unlink()
        return real(packs, path, pack_id)

    monkeypatch.setattr(Packs, "open", vanish)
    if merged:
        assert pack(cache).clips == 3
    else:
        with pytest.raises(CacheError, match="no clip was removed"):
            pack(cache)
    assert taken
    assert_holds(cache, expected | (dict([other]) if merged else {}))
