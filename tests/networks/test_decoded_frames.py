"""From sources to a store of frames: what a file can do to it, and that nothing but the order decides what is in it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.config import PreprocessSpec
from lusfx.engine.extraction.decoding.clip import Event
from lusfx.engine.extraction.decoding.decoders import ThreadDecoder, workers_for
from lusfx.engine.extraction.decoding.jobs import Job, Jobs
from lusfx.engine.extraction.decoding.limits import Limits
from lusfx.networks import clips_in_order
from lusfx.networks.decoded_frames import DecodedClip, FrameBounds, fill_store
from lusfx.networks.frame_store import FRAMES_FILE, INDEX_FILE, FrameStore
from lusfx.plugins import Registry
from lusfx.site_key import SiteKey
from tests.engine.extraction.decoding.conftest import SIZE, SPEC, children, install_script_registry

posix = pytest.mark.skipif(os.name != "posix", reason="decoding processes are POSIX")
BOUNDS = FrameBounds(frames_per_clip=4, max_frames=1000)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    return install_script_registry(tmp_path / "site", monkeypatch)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes scripts, one a file, into a folder."""

    def scripts(*words: str) -> Path:
        folder = tmp_path / "exams"
        folder.mkdir()
        for number, script in enumerate(words):
            (folder / f"{number:03}.script").write_text(script)
        return folder

    return scripts


@pytest.fixture
def fill(tmp_path: Path, registry: Registry, site_key: SiteKey, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Fills a store from a folder."""

    def run(
        folder: Path, name: str = "store", *, workers: int = 0, bounds: FrameBounds = BOUNDS, spec: PreprocessSpec = SPEC,
        **options: Any,
    ) -> FrameStore:  # fmt: skip
        monkeypatch.setenv("LUSFX_WORKERS", str(workers))
        store = FrameStore(tmp_path / name, {"of": "a test"}, SIZE)
        options = {"seed": 3, "stop": threading.Event()} | options
        complete = fill_store(store, [folder], spec, bounds, registry, site_key, **options)
        assert complete == (store.report is not None)
        assert children() == []
        return store

    return run


def contents(store: FrameStore) -> tuple[bytes, bytes]:
    return (store.directory / FRAMES_FILE).read_bytes(), (store.directory / INDEX_FILE).read_bytes()


def levels(store: FrameStore) -> list[list[int]]:
    """Grey levels of each clip's frames."""
    frames = store.frames()
    return [[int(frame[0, 0]) for frame in frames[clip.rows]] for clip in store.clips]


MIXED = [
    "1 2 3 4 5 6 7", "x 8 x 9", "x x", "10 raise", "skip", "11", "11", " ".join(map(str, range(40))), "12 sleep:0.3 13",
    "14 15", "16 17", "18 19",
]  # fmt: skip


def test_frames_are_chosen_and_outcomes_counted(write: Callable[..., Path], fill: Callable[..., Any]) -> None:
    store = fill(write(*MIXED))
    assert sorted(levels(store)) == sorted(
        [[1, 3, 5, 7], [8, 9], [11], [0, 12, 24, 36], [12, 13], [14, 15], [16, 17], [18, 19]]
    )
    assert store.report is not None
    assert store.report["outcomes"] == {
        "failed: no-frames": 1, "failed: reader-error": 1, "skipped: not-wanted": 1, "taken": 8, "the same content again": 1,
    }  # fmt: skip
    assert {clip.patient_key for clip in store.clips} == {"p-1"}
    (times_s,) = [clip.times_s for clip in store.clips if clip.n_frames == 2 and clip.times_s[0] == 0.1]
    assert times_s == (0.1, 0.3)


@posix
@pytest.mark.slow
@pytest.mark.parametrize("max_frames", [1000, 11])
def test_the_number_of_decoders_changes_nothing(
    write: Callable[..., Path], fill: Callable[..., Any], max_frames: int
) -> None:
    """In the second case the store is full before the clips are gone through, and the last clip has room for a few frames."""
    folder, bounds = write(*MIXED), FrameBounds(4, max_frames)
    seen: dict[int, list[tuple[int, int]]] = {workers: [] for workers in (0, 1, 2)}
    stores = [
        fill(
            folder,
            f"with-{workers}",
            workers=workers,
            bounds=bounds,
            progress=lambda *counts, n=workers: seen[n].append(counts),
        )
        for workers in seen
    ]
    assert contents(stores[0]) == contents(stores[1]) == contents(stores[2])
    assert seen[0] == seen[1] == seen[2]
    assert stores[0].n_frames == min(max_frames, 19)


@pytest.mark.parametrize("max_frames", [1000, 11])
def test_clips_that_are_decoded_in_another_order_are_kept_in_theirs(
    write: Callable[..., Path], fill: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, max_frames: int
) -> None:
    folder, bounds = write(*MIXED), FrameBounds(4, max_frames)
    one_by_one = fill(folder, "one-by-one", bounds=bounds)
    most_ahead = []

    class LastFirst:
        """Takes all jobs that there are, and begins with the last; portions of one clip come between those of others."""

        n_used = 1

        def __init__(self, spec: PreprocessSpec, site_key: SiteKey, _n_workers: int, limits: Limits) -> None:
            self.one = ThreadDecoder(spec, site_key, limits)

        def run(self, jobs: Jobs, stopping: object, hungry: object) -> Generator[tuple[Job, Event]]:
            while taken := list(iter(jobs.take, None)):
                most_ahead.append(len(taken))
                events = {job: list(self.one._events(job)) for job in reversed(taken)}
                for rank in range(max(map(len, events.values()))):
                    yield from ((job, those[rank]) for job, those in events.items() if rank < len(those))

    monkeypatch.setattr(clips_in_order, "make_decoders", LastFirst)
    assert contents(fill(folder, "last-first", workers=3, bounds=bounds)) == contents(one_by_one)
    assert max(most_ahead) == 6


@posix
@pytest.mark.slow
def test_files_that_kill_freeze_and_flood_their_decoder_cost_themselves_only(
    write: Callable[..., Path], fill: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUSFX_DECODER_TIMEOUT_S", "8")
    monkeypatch.setenv("LUSFX_DECODER_MEMORY_MB", "300")
    store = fill(write("1", "2 segfault", "3", "4 spin", "5", "6 gorge", "7", "8 exit:7"), workers=2)
    assert sorted(levels(store)) == [[1], [3], [5], [7]]
    assert store.report is not None
    assert store.report["outcomes"] == {
        "failed: decoder-died": 2, "failed: out-of-memory": 1, "failed: timed-out": 1, "taken": 4,
    }  # fmt: skip


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=[posix, pytest.mark.slow])])
def test_a_run_that_is_stopped_goes_on_to_the_same_store(
    write: Callable[..., Path], fill: Callable[..., Any], workers: int
) -> None:
    folder = write(*MIXED)
    whole = fill(folder, "whole")
    stop = threading.Event()
    half = fill(folder, "half", workers=workers, stop=stop, progress=lambda done, _: stop.set() if done == 5 else None)
    assert half.report is None
    assert contents(whole)[0].startswith(contents(half)[0])
    assert len(half.clips) in range(1, len(whole.clips))
    again = fill(folder, "half", workers=workers)
    assert contents(again) == contents(whole)


@posix
@pytest.mark.slow
def test_stopping_does_not_wait_for_a_clip(write: Callable[..., Path], fill: Callable[..., Any]) -> None:
    folder, stop = write("1 tell hang"), threading.Event()

    def stop_soon() -> None:
        while not list(folder.glob("*.pid")):
            pass
        stop.set()

    threading.Thread(target=stop_soon, daemon=True).start()
    assert fill(folder, workers=1, stop=stop).clips == []


def test_every_frame_may_be_chosen_whatever_an_encoder_skips(
    write: Callable[..., Path], fill: Callable[..., Any]
) -> None:
    folder, clips = write("1 2 3"), list[DecodedClip]()

    def keep(clip: DecodedClip) -> None:
        clips.append(clip)

    assert levels(fill(folder, spec=SPEC.model_copy(update={"stride": 2}), refusal=keep)) == [[1, 2, 3]]
    (clip,) = clips
    assert (clip.n_readable, clip.beam_confidence, clip.patient_key) == (3, 1.0, "p-1")
    np.testing.assert_array_equal(clip.times_s, [0.0, 0.1, 0.2])


def test_a_clip_that_is_left_out_is_counted_by_its_code(write: Callable[..., Path], fill: Callable[..., Any]) -> None:
    store = fill(write("1 2 3", "4"), refusal=lambda clip: "too-few-frames" if clip.n_readable < 2 else None)
    assert levels(store) == [[1, 2, 3]]
    assert store.report["outcomes"] == {"not assessable: too-few-frames": 1, "taken": 1}


def test_a_clip_may_be_longer_than_extraction_takes_one(
    write: Callable[..., Path], fill: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write("7 " * 20_001)
    assert levels(fill(folder)) == [[7] * 4]
    monkeypatch.setattr(clips_in_order, "LONGEST_CLIP", 100)
    assert fill(folder, "other").report["outcomes"] == {"failed: too-long": 1}


def test_readers_of_no_plugin_decode_in_this_process(registry: Registry) -> None:
    assert workers_for(registry, 2) == 2
    assert workers_for(registry) == 0  # LUSFX_WORKERS of the tests
    assert workers_for(Registry(registry.manager), 2) == 0
