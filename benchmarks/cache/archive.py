"""Made-up archives in a cache: embeddings by chance, which no encoder gave."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from benchmarks.cache.plan import Plan
from lusfx.cache import Cache, Store
from lusfx.cache.packing import write_pack
from lusfx.config import EncoderIdentity, FeatureSpec, PreprocessSpec
from lusfx.types import ClipEmbeddings

CLIPS_A_PACK = 6000
"""About as many as 128 MiB hold."""
FACTS: dict[str, str | int | float | bool] = {
    "reader": "video",
    "height": 480,
    "width": 640,
    "beam": "detected",
    "beam_confidence": 0.9375,
    "time_source": "container",
    "encoder": "made-up",
    "runtime": "none",
}
"""As much provenance as a clip has."""


def spec_of(dim: int) -> FeatureSpec:
    """Of an encoder that there is not."""
    identity = EncoderIdentity(
        architecture="made-up",
        weights_sha256="00" * 32,
        layer="global-pool",
        pooling="mean",
        dim=dim,
        channels=1,
        mean=(0.0,),
        std=(1.0,),
    )
    return FeatureSpec(encoder=identity, preprocess=PreprocessSpec())


def key_of(number: int) -> str:
    """The clip key of a number."""
    return hashlib.sha256(b"%d" % number).hexdigest()


def make_clips(plan: Plan, n: int) -> list[ClipEmbeddings]:
    """Clips, each different from the others."""
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((n + plan.frames, plan.dim), np.float32).astype(np.float16)
    frames = np.arange(plan.frames, dtype=np.int64)
    return [
        ClipEmbeddings(rows[number : number + plan.frames], frames / 25, frames, np.zeros(plan.frames, np.uint8), FACTS)
        for number in range(n)
    ]


def packed_archive(directory: Path, plan: Plan, n_clips: int) -> Store:
    """A cache whose clips are all packed, in order of their keys."""
    cache = Cache.open(directory, create=True)
    cache.allow_packs()
    store = cache.store(spec_of(plan.dim))
    keys, clips = sorted(map(key_of, range(n_clips))), make_clips(plan, n_clips)
    for start in range(0, n_clips, CLIPS_A_PACK):
        part = slice(start, start + CLIPS_A_PACK)
        write_pack(store, list(zip(keys[part], clips[part], strict=True)))
    return store


def loose_archive(directory: Path, plan: Plan, n_clips: int) -> Store:
    """A cache whose clips are all loose."""
    store = Cache.open(directory, create=True).store(spec_of(plan.dim))
    for number, clip in enumerate(make_clips(plan, n_clips)):
        store.write(key_of(number), clip)
    return store
