"""The whole measurement: reading, running again, writing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.cache import reading
from benchmarks.cache.archive import key_of, loose_archive, make_clips, packed_archive, spec_of
from benchmarks.cache.plan import PLANS, Plan
from benchmarks.cache.rerun import look_at, make_unchanged, run_again
from benchmarks.request import Request
from benchmarks.timing import Spread, take_turns
from lusfx.cache import Cache, pack
from lusfx.contracts import EncoderRequest
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.engine.extraction.opening import open_encoder
from lusfx.plugins import load_registry
from lusfx.types import ClipEmbeddings

STORE_WRITE = "lusfx, a clip file each (Store.write)"
PACK = "lusfx, all of them packed (pack)"
SAVE = "a .npy file each (np.save, os.fsync)"
RERUN = "lusfx.extract"
LOOK = "os.walk and os.stat"


def measure(request: Request) -> dict[str, Any]:
    """Measure at the size that is asked for; all that is written is removed at the end."""
    return run(PLANS[request.size], request)


def run(plan: Plan, request: Request) -> dict[str, Any]:
    """Measure as planned.

    :returns: the result, JSON values.
    """
    return {
        "plan": plan.as_dict(),
        "bytes_a_clip": plan.frames * plan.dim * np.dtype(np.float16).itemsize,
        "archives": [_in_a_folder(_archive, plan, n_clips, request.told) for n_clips in plan.clip_counts],
        "files": _in_a_folder(_files, plan, request.told),
        "rerun": _in_a_folder(_rerun, plan, request.told),
        "writing": _in_a_folder(_writing, plan, request.told),
    }


def _in_a_folder(measure_there: Callable[..., dict[str, Any]], *rest: Any) -> dict[str, Any]:
    """One part of the measurement, whose files are gone before the next begins."""
    with TemporaryDirectory(prefix="lusfx-benchmark-") as folder:
        return measure_there(Path(folder), *rest)


def _archive(folder: Path, plan: Plan, n_clips: int, told: Callable[[str], None]) -> dict[str, Any]:
    """Packs against the bound."""
    told(f"{n_clips} clips read from packs")
    store = packed_archive(folder / "cache", plan, n_clips)
    places = list(reading.memory_maps(store))
    times = take_turns(
        {
            reading.PACKS: lambda: reading.read_store(store, n_clips),
            reading.MEMORY_MAP: lambda: reading.read_memory_maps(places, plan.frames),
        },
        plan.read_rounds,
    )
    return {"n_clips": n_clips, "n_packs": len(places)} | _compared(times, n_clips, reading.MEMORY_MAP)


def _files(folder: Path, plan: Plan, told: Callable[[str], None]) -> dict[str, Any]:
    """Packs against a file a clip in several layouts, and how long packing takes."""
    n_clips = plan.file_clips
    told(f"{n_clips} clips read from a file each")
    clips = make_clips(plan, n_clips)
    packed = packed_archive(folder / "packed", plan, n_clips)
    loose = loose_archive(folder / "loose", plan, n_clips)
    npy = reading.write_npy(folder / "npy", clips)
    row_chunks = reading.write_row_chunks(folder / "row-chunks", clips)
    times = take_turns(
        {
            reading.PACKS: lambda: reading.read_store(packed, n_clips),
            reading.LOOSE: lambda: reading.read_store(loose, n_clips),
            reading.NPY: lambda: reading.read_npy(npy),
            reading.ROW_CHUNKS: lambda: reading.read_row_chunks(row_chunks),
        },
        plan.file_rounds,
    )
    return {"n_clips": n_clips} | _compared(times, n_clips, reading.PACKS)


def _rerun(folder: Path, plan: Plan, told: Callable[[str], None]) -> dict[str, Any]:
    """A run that finds nothing to do against a look at each file."""
    told(f"a run over {plan.rerun_files} files that have not changed")
    registry = load_registry()
    encoder = open_encoder(EncoderRequest(DEFAULT_ENCODER, device="cpu"), registry)
    sources, cache = make_unchanged(folder, encoder, plan.rerun_files)
    times = take_turns(
        {
            RERUN: lambda: run_again(sources, cache, encoder, registry, plan.rerun_files),
            LOOK: lambda: look_at(sources),
        },
        plan.rerun_rounds,
    )
    return {
        "n_files": plan.rerun_files,
        "seconds": {name: Spread.of(times_s).as_dict() for name, times_s in times.items()},
    }


def _writing(folder: Path, plan: Plan, told: Callable[[str], None]) -> dict[str, Any]:
    """Clips written durably, a file each, and packed."""
    n_clips = plan.written_clips
    told(f"{n_clips} clips written")
    clips, number = make_clips(plan, n_clips), count()
    loose: list[Cache] = []

    def write_store() -> Cache:
        cache = Cache.open(folder / f"{next(number)}", create=True)
        store = cache.store(spec_of(plan.dim))
        for at, clip in enumerate(clips):
            store.write(key_of(at), clip)
        return cache

    def prepare() -> None:
        loose.append(write_store())

    def pack_loose() -> None:
        assert pack(loose.pop()).clips == n_clips

    prepare()
    times = take_turns(
        {
            STORE_WRITE: write_store,
            PACK: pack_loose,
            SAVE: lambda: _save_synced(folder / f"{next(number)}", clips),
        },
        plan.write_rounds,
        warm={PACK: prepare},
    )
    return {"n_clips": n_clips} | _compared(times, n_clips, SAVE)


def _save_synced(folder: Path, clips: Sequence[ClipEmbeddings]) -> None:
    folder.mkdir()
    for number, clip in enumerate(clips):
        with (folder / f"{number}.npy").open("wb") as file:
            np.save(file, clip.embeddings)
            file.flush()
            os.fsync(file.fileno())


def _compared(times: dict[str, list[float]], n_clips: int, base: str) -> dict[str, Any]:
    """Seconds a clip of each way, and how many times as long as the base each takes, round by round."""
    return {
        "base": base,
        "seconds_a_clip": {
            name: Spread.of([time_s / n_clips for time_s in times_s]).as_dict() for name, times_s in times.items()
        },
        "times_as_long": {
            name: Spread.of([time_s / least_s for time_s, least_s in zip(times_s, times[base], strict=True)]).as_dict()
            for name, times_s in times.items()
            if name != base
        },
    }
