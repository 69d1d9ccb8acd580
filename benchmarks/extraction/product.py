"""The product's ways: its pipeline, the whole of extraction, and each half of it alone."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import site_key
from lusfx.cache import Cache
from lusfx.contracts import Encoder
from lusfx.engine.extraction.decoding.clip import Portion
from lusfx.engine.extraction.decoding.decoders import ThreadDecoder
from lusfx.engine.extraction.decoding.jobs import Job, Jobs
from lusfx.engine.extraction.decoding.limits import Limits
from lusfx.engine.extraction.extract import extract_with
from lusfx.engine.extraction.pipeline import Pipeline
from lusfx.engine.extraction.sources import Source
from lusfx.plugins import load_registry


def pipeline(encoder: Encoder, sources: list[Source], workers: int, batch_size: int) -> None:
    """Decode and encode; nothing is written."""
    run = Pipeline(
        encoder.feature_spec,
        encoder,
        site_key(),
        lambda key: False,
        lambda key, embeddings: None,
        threading.Event(),
        batch_size,
        workers,
    )
    for settlement in run.run(sources):
        assert settlement.status == "encoded", settlement.code


class Extraction:
    """The whole of ``lusfx.extract`` into a new cache each time, with the encoder loaded.

    :param folder: where caches may be written.
    :param fps: frames of each second that are encoded; None for all.
    """

    def __init__(
        self, encoder: Encoder, clips: Path, folder: Path, workers: int, batch_size: int, fps: float | None = None
    ) -> None:
        self.encoder = encoder
        self.clips = clips
        self.folder = folder
        self.workers = workers
        self.batch_size = batch_size
        self.fps = fps
        self._number = count()

    def __call__(self) -> None:
        rate = "" if self.fps is None else "-sampled"
        cache = Cache.open(self.folder / f"cache{rate}-{next(self._number)}", create=True)
        result = extract_with(
            self.encoder,
            [self.clips],
            cache,
            load_registry(),
            site_key(),
            fps=self.fps,
            batch_size=self.batch_size,
            workers=self.workers,
        )
        assert result.counts["encoded"] == result.found


def own_rate(source: Source) -> float:
    """Frames a second of a clip."""
    assert source.reader is not None
    with source.reader.open(source.path, site_key()) as clip:
        times_s = [frame.time_s for frame in clip.frames()]
    return float(1 / np.median(np.diff(times_s)))


def decode_only(encoder: Encoder, sources: Sequence[Source]) -> list[NDArray[np.uint8]]:
    """Decode and prepare in this thread, and drop what comes, but for as many images as sixteen portions hold."""
    jobs = Jobs(len(sources) + 1, copy=lambda job: None)
    for number, source in enumerate(sources):
        jobs.put(Job(source, str(number), None), lambda: False)
    jobs.close()
    kept: list[NDArray[np.uint8]] = []
    decoder = ThreadDecoder(encoder.preprocess, site_key(), Limits())
    for _, event in decoder.run(jobs, stopping=lambda: False, hungry=lambda: True):
        if isinstance(event, Portion) and len(kept) < 16:
            kept.append(event.images)
    return kept
