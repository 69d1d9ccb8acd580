"""Frames once written are there, private, checked, and made again where they are damaged."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from lusfx.errors import LusfxError
from lusfx.networks.errors import NetworkError
from lusfx.networks.frame_store import FRAMES_FILE, INDEX_FILE, FrameStore, stored_keys

SIZE = 32
SPEC = {"size": SIZE, "beam": "detect"}


def clip(number: int) -> tuple[str, str | None, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(number)
    n = 2 + number % 3
    times_s = np.arange(n) / 20 if number % 2 else np.full(n, np.nan)
    return f"{number:064x}", f"p-{number}", generator.integers(0, 256, (n, SIZE, SIZE), np.uint8), times_s


def filled(directory: Path, n: int = 5) -> FrameStore:
    store = FrameStore(directory, SPEC, SIZE)
    for number in range(n):
        if f"{number:064x}" not in {stored.key for stored in store.clips}:
            store.add(*clip(number))
    store.commit()
    return store


def content(store: FrameStore) -> list[tuple[str, bytes]]:
    return [(stored.key, np.asarray(store.frames()[stored.rows]).tobytes()) for stored in store.clips]


def test_what_was_added_is_read_back(tmp_path: Path) -> None:
    filled(tmp_path / "frames").finish({"clips": 5})
    store = FrameStore(tmp_path / "frames", SPEC, SIZE)
    assert store.complete
    assert store.report == {"clips": 5}
    for number, stored in enumerate(store.clips):
        key, patient, frames, times_s = clip(number)
        assert (stored.key, stored.patient_key) == (key, patient)
        np.testing.assert_array_equal(store.frames()[stored.rows], frames)
        np.testing.assert_array_equal(stored.times_s, times_s)


def test_its_clips_are_told_without_its_spec(tmp_path: Path) -> None:
    store = filled(tmp_path / "frames")
    store.finish({"clips": 5})
    assert stored_keys(tmp_path / "frames") == sorted(store.keys())
    index = tmp_path / "frames" / INDEX_FILE
    index.write_bytes(index.read_bytes()[:-2])
    with pytest.raises(NetworkError, match="damaged"):
        stored_keys(tmp_path / "frames")
    with pytest.raises(NetworkError, match="cannot be read"):
        stored_keys(tmp_path / "nowhere")


def test_frames_are_mapped_and_not_read(tmp_path: Path) -> None:
    assert isinstance(filled(tmp_path / "frames").frames(), np.memmap)


def test_the_store_is_its_owners(tmp_path: Path) -> None:
    filled(tmp_path / "frames")
    assert stat.S_IMODE((tmp_path / "frames").stat().st_mode) == 0o700
    for path in (tmp_path / "frames").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_clips_that_were_not_yet_durable_are_made_again(tmp_path: Path) -> None:
    """A killed process leaves frames behind that no line speaks of."""
    whole = content(filled(tmp_path / "whole"))
    store = filled(tmp_path / "frames", 2)
    store._synced += 1e6  # no commit by itself
    store.add(*clip(2))
    del store
    again = FrameStore(tmp_path / "frames", SPEC, SIZE)
    assert len(again.clips) == 2
    assert again.n_dropped == 0
    assert content(filled(tmp_path / "frames")) == whole


def test_a_torn_line_is_dropped_and_its_clip_made_again(tmp_path: Path) -> None:
    whole = content(filled(tmp_path / "frames"))
    index = tmp_path / "frames" / INDEX_FILE
    index.write_bytes(index.read_bytes()[:-7])
    store = FrameStore(tmp_path / "frames", SPEC, SIZE)
    assert (len(store.clips), store.n_dropped) == (4, 1)
    assert content(filled(tmp_path / "frames")) == whole


@pytest.mark.parametrize("damage", ["frames", "index", "short", "gone"])
def test_damage_is_found_and_what_follows_it_made_again(tmp_path: Path, damage: str) -> None:
    store = filled(tmp_path / "frames")
    store.finish({})
    whole, first = content(store), store.clips[2].first
    frames, index = tmp_path / "frames" / FRAMES_FILE, tmp_path / "frames" / INDEX_FILE
    data, lines = bytearray(frames.read_bytes()), index.read_bytes().splitlines(keepends=True)
    if damage == "frames":
        data[first * SIZE**2 + 5] ^= 1
        frames.write_bytes(data)
    elif damage == "index":
        lines[3] = lines[3].replace(b'"first":', b'"frist":')
        index.write_bytes(b"".join(lines))
    elif damage == "short":
        frames.write_bytes(data[: first * SIZE**2 + 5])
    else:
        frames.unlink()
    again = FrameStore(tmp_path / "frames", SPEC, SIZE)
    assert len(again.clips) == (0 if damage == "gone" else 2)
    assert not again.complete
    assert again.n_dropped > 0
    assert content(filled(tmp_path / "frames")) == whole


def test_a_store_whose_first_line_is_damaged_begins_anew(tmp_path: Path) -> None:
    filled(tmp_path / "frames")
    (tmp_path / "frames" / INDEX_FILE).write_bytes(b"\xff\x00nonsense\n")
    assert FrameStore(tmp_path / "frames", SPEC, SIZE).clips == []


def test_a_store_of_other_preprocessing_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "frames")
    with pytest.raises(NetworkError, match="another --out"):
        FrameStore(tmp_path / "frames", SPEC | {"beam": "off"}, SIZE)


def test_another_process_reads_without_touching(tmp_path: Path) -> None:
    filled(tmp_path / "frames").finish({})
    before = {path.name: path.read_bytes() for path in (tmp_path / "frames").iterdir()}
    store = FrameStore(tmp_path / "frames", SPEC, SIZE, check=False)
    assert len(store.clips) == 5
    assert {path.name: path.read_bytes() for path in (tmp_path / "frames").iterdir()} == before


def test_a_store_without_frames_says_so(tmp_path: Path) -> None:
    with pytest.raises(LusfxError, match="nothing to learn from"):
        FrameStore(tmp_path / "frames", SPEC, SIZE).frames()


def test_frames_of_another_shape_are_refused(tmp_path: Path) -> None:
    store = FrameStore(tmp_path / "frames", SPEC, SIZE)
    with pytest.raises(ValueError, match="frames must be"):
        store.add("k", None, np.zeros((1, SIZE, SIZE + 1), np.uint8), np.zeros(1))
