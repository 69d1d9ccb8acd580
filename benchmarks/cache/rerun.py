"""A run over sources that have not changed: mostly looks at sizes and times."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.clips import site_key
from lusfx.cache import Cache, Stamp
from lusfx.cache.packing import write_pack
from lusfx.contracts import Encoder
from lusfx.engine.extraction.extract import extract_with
from lusfx.plugins import Registry
from lusfx.types import ClipEmbeddings

FILES_A_FOLDER = 1000
CLIPS_A_PACK = 20_000


def make_unchanged(folder: Path, encoder: Encoder, n_files: int) -> tuple[Path, Cache]:
    """Small files that pass for videos, and a cache that says that it knows them all: its clips have one frame each.

    Made without decoding, which would take hours: a run does not look into a file whose size and times are known.
    """
    sources, cache = folder / "sources", Cache.open(folder / "cache", create=True)
    sources.mkdir()
    keys = []
    with cache.stat_index(site_key()) as index:
        for number in range(n_files):
            file = sources / f"{number // FILES_A_FOLDER:04d}" / f"{number}.mp4"
            if number % FILES_A_FOLDER == 0:
                file.parent.mkdir()
            file.write_bytes(b"%d" % number)
            keys.append(hashlib.sha256(b"%d" % number).hexdigest())
            stamp = Stamp.of(file)
            assert stamp is not None
            index.record(file, replace(stamp, is_racy=False), keys[-1])
    store = cache.store(encoder.feature_spec)
    cache.allow_packs()
    clip = ClipEmbeddings(
        np.zeros((1, encoder.feature_spec.encoder.dim), np.float16),
        np.zeros(1),
        np.zeros(1, np.int64),
        np.zeros(1, np.uint8),
    )
    keys.sort()
    for start in range(0, n_files, CLIPS_A_PACK):
        write_pack(store, [(key, clip) for key in keys[start : start + CLIPS_A_PACK]])
    return sources, cache


def run_again(sources: Path, cache: Cache, encoder: Encoder, registry: Registry, n_files: int) -> None:
    """The product's run, with its ledger."""
    result = extract_with(encoder, [sources], cache, registry, site_key())
    assert result.counts["cached"] == result.found == n_files


def look_at(sources: Path) -> None:
    """A look at every file's size and times, and nothing else: the least that telling what has changed can be."""
    for directory, _, files in os.walk(sources):
        for file in files:
            os.stat(os.path.join(directory, file))  # noqa: PTH116, PTH118 - the floor has no objects
