"""Scoring from the cache against encoding again, both by the product's own code.

Three pairs, from the inside out: the heads alone on features that are held in memory; clips read from the cache,
checked and answered; the whole of ``lusfx.score``, which loads the models and writes the table.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.clips import draw_clips, site_key
from benchmarks.inference.plan import Plan
from benchmarks.inference.subject import Subject
from benchmarks.request import Device
from benchmarks.timing import Spread, Way, take_turns
from lusfx.cache import Cache, Membership
from lusfx.config import FeatureSpec
from lusfx.contracts import EncoderRequest
from lusfx.encoders import open_directory
from lusfx.engine.answers import Panel
from lusfx.engine.features import FeatureMaker
from lusfx.engine.pipeline import Pipeline
from lusfx.engine.score import score
from lusfx.engine.score_table import Place, ScoreTable
from lusfx.engine.sources import discover
from lusfx.plugins import Registry
from lusfx.task_model import TaskModel

PAIRS = {
    "heads": ("heads", "encode"),
    "clips": ("clips", "encode"),
    "command": ("score-cached", "score-again"),
}
"""What is done from the cache, and what is done again in its place."""


def measure_cached(
    subject: Subject,
    models: Sequence[TaskModel],
    places: Sequence[Path],
    plan: Plan,
    device: Device,
    threads: int,
    folder: Path,
    registry: Registry,
) -> dict[str, Any]:
    """Time all pairs in turns.

    :param places: the directories of ``models``.
    :param folder: where clips, caches and tables may be written.
    """
    draw_clips(folder / "archive", plan.cached_clips, plan.cached_frames)
    ways = dict(_ways(subject, models, places, plan, device, threads, folder, registry))
    times = take_turns(ways, plan.cached_rounds)
    a_clip = {
        name: Spread.of([time_s / plan.cached_clips for time_s in times_s]).as_dict() for name, times_s in times.items()
    }
    pairs = {
        pair: Spread.of([again / cached for cached, again in zip(times[one], times[other], strict=True)]).as_dict()
        for pair, (one, other) in PAIRS.items()
    }
    return {
        "n_clips": plan.cached_clips,
        "frames_a_clip": plan.cached_frames,
        "n_tasks": len(models),
        "head": "logistic",
        "seconds_a_clip": a_clip,
        "times_as_fast": pairs,
    }


def _ways(
    subject: Subject,
    models: Sequence[TaskModel],
    places: Sequence[Path],
    plan: Plan,
    device: Device,
    threads: int,
    folder: Path,
    registry: Registry,
) -> Iterator[tuple[str, Way]]:
    clips, key = folder / "archive" / "clips", site_key()
    options: dict[str, Any] = {"device": device, "threads": threads, "encoder": str(subject.directory), "site_key": key}
    encoder = open_directory(subject.directory, EncoderRequest(subject.name, device=device, threads=threads))
    spec = FeatureSpec(encoder=encoder.identity, preprocess=encoder.preprocess)
    sources = discover([clips], registry, key, known=lambda path: False).sources
    number = count()

    def score_again() -> None:
        again = folder / f"again-{next(number)}"
        score([clips], places, again / "cache", again / "scores.csv", **options)

    def encode() -> None:
        """The product's pipeline, an encoder at hand, and nothing written: the least that encoding again can be."""
        pipeline = Pipeline(
            spec, encoder, key, lambda clip: False, lambda clip, embeddings: None, threading.Event(), plan.batch_size
        )
        for outcome in pipeline.run(sources):
            assert outcome.outcome == "encoded", outcome.code

    score_again()
    cache = folder / "again-0" / "cache"
    store = Cache.open(cache).find(spec.fingerprint)
    panel = Panel(models)
    kept = [Place(clip, Membership()) for clip in sorted(store.keys())]
    maker = FeatureMaker(models[0].card.task)
    features = maker.of_units([[maker.of_clip(store.read(place.key))] for place in kept if place.key is not None])
    assert len(kept) == len(features) == plan.cached_clips

    yield "encode", encode
    yield "clips", lambda: [*ScoreTable(kept, panel, store).rows()]
    yield "heads", lambda: [model.score(features, spec.fingerprint) for model in models]
    yield "score-again", score_again
    yield "score-cached", lambda: score([], places, cache, folder / "scores.csv", **options)
