"""Scoring from the cache against encoding again, both by the product's own code.

From the inside out: the heads alone on features that are held in memory; packed clips read, checked and answered; the
whole of ``lusfx.score``, which loads the models and writes the table. And one pass of several tasks that are asked of
single frames.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.clips import draw_clips, site_key
from benchmarks.inference.plan import Plan
from benchmarks.inference.subject import Subject
from benchmarks.request import Device
from benchmarks.timing import Spread, Way, take_turns
from lusfx.cache import Cache, Membership, Store
from lusfx.cache.packing import write_pack
from lusfx.contracts import EncoderRequest
from lusfx.encoders import open_directory
from lusfx.engine.extraction.pipeline import Pipeline
from lusfx.engine.extraction.sources import discover
from lusfx.engine.samples.features import FeatureMaker
from lusfx.engine.scoring.answers import Panel
from lusfx.engine.scoring.score import score
from lusfx.engine.scoring.table import Place, ScoreTable
from lusfx.plugins import Registry
from lusfx.task_model import TaskModel
from lusfx.types import ClipEmbeddings

PAIRS = {
    "heads": ("heads", "encode"),
    "clips": ("clips", "encode"),
    "command": ("score-cached", "encode"),
}
"""What is done from the cache, and what is done again in its place."""
CLIPS_A_PORTION = 64
"""Clips that frame tasks are asked about at a time: their frames fit the processor's cache."""


def measure_cached(
    subject: Subject,
    models: Sequence[TaskModel],
    places: Sequence[Path],
    frame_models: Sequence[TaskModel],
    plan: Plan,
    device: Device,
    threads: int,
    folder: Path,
    registry: Registry,
) -> dict[str, Any]:
    """Time all pairs in turns.

    :param places: the directories of ``models``.
    :param frame_models: of tasks that are asked of frames.
    :param folder: where clips, caches and tables may be written.
    """
    draw_clips(folder / "archive", plan.encoded_clips, plan.cached_frames)
    encoder = open_directory(subject.directory, EncoderRequest(subject.name, device=device, threads=threads))
    sources = discover([folder / "archive" / "clips"], registry, site_key(), known=lambda path: False).sources
    encoded: list[ClipEmbeddings] = []

    def encode() -> None:
        """The product's pipeline, an encoder at hand, and nothing written: the least that encoding again can be."""
        encoded.clear()
        pipeline = Pipeline(
            encoder.feature_spec,
            encoder,
            site_key(),
            lambda clip: False,
            lambda clip, embeddings: encoded.append(embeddings),
            threading.Event(),
            plan.batch_size,
        )
        for settlement in pipeline.run(sources):
            assert settlement.status == "encoded", settlement.code

    encode()
    cache = Cache.open(folder / "cache", create=True)
    store = cache.store(encoder.feature_spec)
    _pack(cache, store, encoded, plan.cached_clips)
    cached = _cached_ways(cache, store, models, places, frame_models, folder / "scores.csv")
    times = take_turns({"encode": encode, **cached}, plan.cached_rounds)
    ways = list(times)
    n_clips = {name: plan.encoded_clips if name == "encode" else plan.cached_clips for name in ways}
    a_clip = {name: [time_s / n_clips[name] for time_s in times_s] for name, times_s in times.items()}
    n_scores = plan.cached_frames * len(frame_models)
    return {
        "n_clips": plan.cached_clips,
        "n_encoded": plan.encoded_clips,
        "frames_a_clip": plan.cached_frames,
        "n_tasks": len(models),
        "head": "logistic",
        "seconds_a_clip": {name: Spread.of(times_s).as_dict() for name, times_s in a_clip.items()},
        "pairs": {pair: list(names) for pair, names in PAIRS.items()},
        "times_as_fast": {
            pair: Spread.of(
                [again / cached for cached, again in zip(a_clip[one], a_clip[other], strict=True)]
            ).as_dict()
            for pair, (one, other) in PAIRS.items()
        },
        "n_frame_tasks": len(frame_models),
        "frame_scores_a_second": Spread.of([n_scores / time_s for time_s in a_clip["frames"]]).as_dict(),
    }


def _pack(cache: Cache, store: Store, clips: Sequence[ClipEmbeddings], n_clips: int) -> None:
    """Pack the clips over and over, under other keys and each time with their frames turned on, to be an archive."""
    cache.allow_packs()
    stored = np.dtype(store.spec.stored_dtype)
    archive = []
    for number in range(n_clips):
        clip = clips[number % len(clips)]
        turned = np.roll(clip.embeddings, number, axis=0).astype(stored)
        archive.append((hashlib.sha256(b"%d" % number).hexdigest(), replace(clip, embeddings=turned)))
    write_pack(store, sorted(archive, key=lambda entry: entry[0]))


def _cached_ways(
    cache: Cache,
    store: Store,
    models: Sequence[TaskModel],
    places: Sequence[Path],
    frame_models: Sequence[TaskModel],
    out: Path,
) -> dict[str, Way]:
    kept = [Place(clip, Membership()) for clip in sorted(store.keys())]
    keys = [place.key for place in kept if place.key is not None]
    maker = FeatureMaker(models[0].card.task)
    features = maker.of_units([[maker.of_clip(clip)] for _, clip in store.read_all(keys)])
    panel, frame_panel = Panel(models), Panel(frame_models)

    def ask_frames() -> None:
        """On one core, since the rate is told a core."""
        with threadpool_limits(1):
            for start in range(0, len(keys), CLIPS_A_PORTION):
                frame_panel.ask(dict(store.read_all(keys[start : start + CLIPS_A_PORTION])), {}, store.fingerprint)

    return {
        "clips": lambda: [*ScoreTable(kept, panel, store).rows()],
        "heads": lambda: [model.score(features, store.fingerprint) for model in models],
        "score-cached": lambda: score([], places, cache.directory, out, force=True),
        "frames": ask_frames,
    }
