"""Encode what the cache lacks."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lusfx.cache import OUTCOMES, Cache, LedgerEntry, Membership, RunLedger, StatIndex, Store
from lusfx.contracts import Device, Encoder, EncoderRequest
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.engine.encoders import feature_spec, open_encoder
from lusfx.engine.pipeline import Outcome, Pipeline
from lusfx.engine.sources import Source, discover
from lusfx.plugins import Registry, load_registry
from lusfx.site_key import SiteKey
from lusfx.types import ClipEmbeddings

BATCH_SIZE = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    :param settled: sources that have an outcome.
    :param found: sources in all.
    :param frames: frames encoded so far.
    """

    settled: int
    found: int
    frames: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """A source that has no embeddings, and why."""

    where: str
    source_key: str
    path: Path
    outcome: str
    code: str
    detail: str

    def as_dict(self, show_paths: bool) -> dict[str, str]:
        facts = {
            "where": self.where,
            "source": self.source_key,
            "outcome": self.outcome,
            "code": self.code,
            "detail": self.detail,
        }
        return facts | {"path": str(self.path)} if show_paths else facts


@dataclass(slots=True)
class ExtractResult:
    """What a run did: ``found == encoded + cached + failed + skipped + not_reached``."""

    fingerprint: str
    encoder: str
    found: int
    not_clips: int = 0
    frames: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    troubles: list[Trouble] = field(default_factory=list)
    clip_of: dict[Path, str] = field(default_factory=dict, repr=False)
    """Clip key of each source that is in the cache now."""
    sources: list[Source] = field(default_factory=list, repr=False)

    @property
    def not_reached(self) -> int:
        """Sources that the run was stopped before; 0 unless it was interrupted."""
        return self.found - sum(self.counts[outcome] for outcome in OUTCOMES)

    @property
    def interrupted(self) -> bool:
        return self.not_reached > 0

    def summary(self) -> str:
        """One line that adds up."""
        terms = " + ".join(f"{self.counts[outcome]} {outcome}" for outcome in OUTCOMES)
        line = f"{self.found} found = {terms}"
        if self.interrupted:
            line += f" + {self.not_reached} not reached (interrupted)"
        rate = f", {self.frames / self.seconds:.0f} frames/s" if self.frames else ""
        return f"{line}; {self.frames} frames in {self.seconds:.1f} s{rate}"

    def as_dict(self, show_paths: bool = False) -> dict[str, Any]:
        """For programs: what ``lusfx extract --json`` prints."""
        return {
            "fingerprint": self.fingerprint,
            "encoder": self.encoder,
            "found": self.found,
            **{outcome: self.counts[outcome] for outcome in OUTCOMES},
            "not_reached": self.not_reached,
            "not_clips": self.not_clips,
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
            "notes": dict(self.notes),
            "troubles": [trouble.as_dict(show_paths) for trouble in self.troubles],
        }


def extract(
    sources: Sequence[Path | str],
    cache: Path | str,
    *,
    encoder: str = DEFAULT_ENCODER,
    weights: Path | None = None,
    device: Device = "auto",
    threads: int = 0,
    batch_size: int = BATCH_SIZE,
    site_key: SiteKey | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> ExtractResult:
    """Run an encoder once over every clip that the cache lacks.

    :param sources: folders, files and manifests, in any mixture.
    :param cache: cache directory; made if it does not exist.
    :param encoder: registered name or encoder directory.
    :param weights: safetensors file for an encoder that takes one.
    :param batch_size: frames encoded at a time; it decides speed, not values.
    :param site_key: makes pseudonyms; by default the site's own key file.
    :param progress: called after each settled source, on the caller's thread.
    :param stop: set it to end the run early; the clip in hand is dropped and the result says so.
    :raises LusfxError: where the run as a whole cannot go on. A bad source never raises: the result and the ledger have it.
    """
    registry = load_registry()
    opened = open_encoder(EncoderRequest(encoder, weights, device, threads), registry)
    return extract_with(
        opened,
        [Path(source) for source in sources],
        Cache.open(Path(cache), create=True),
        registry,
        site_key or SiteKey.load(),
        batch_size=batch_size,
        progress=progress,
        stop=stop,
    )


def extract_with(
    encoder: Encoder,
    places: Sequence[Path],
    cache: Cache,
    registry: Registry,
    site_key: SiteKey,
    *,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> ExtractResult:
    """:func:`extract` with its parts already opened."""
    started = time.monotonic()
    stop = stop or threading.Event()
    spec = feature_spec(encoder)
    store = cache.store(spec)
    with cache.stat_index(site_key) as index, cache.start_run(spec.fingerprint, encoder.name) as ledger:
        found = discover(places, registry, site_key, known=lambda path: index.lookup(path) is not None)
        result = ExtractResult(
            spec.fingerprint, encoder.name, len(found.sources), found.not_clips, sources=found.sources
        )
        keys = store.keys()
        pipeline = Pipeline(spec, encoder, site_key, keys.__contains__, _writer(store), stop, batch_size)
        for outcome in _outcomes(found.sources, index, keys, pipeline):
            _settle(outcome, result, ledger, index, site_key)
            if progress is not None:
                progress(Progress(sum(result.counts.values()), result.found, result.frames))
        result.seconds = time.monotonic() - started
        ledger.finish(not_reached=result.not_reached)
    return result


def _outcomes(sources: list[Source], index: StatIndex, keys: set[str], pipeline: Pipeline) -> Iterable[Outcome]:
    """First what a look at the file's size and time shows to be cached, then the rest through the pipeline."""
    rest = []
    for source in sources:
        key = index.lookup(source.path)
        if key is not None and key in keys:
            yield Outcome(source, "cached", key, None, source.patient_key, source.exam_key)
        else:
            rest.append(source)
    if rest:
        yield from pipeline.run(rest)


def _writer(store: Store) -> Callable[[str, ClipEmbeddings], None]:
    def write(key: str, embeddings: ClipEmbeddings) -> None:
        store.write(key, embeddings)

    return write


def _settle(outcome: Outcome, result: ExtractResult, ledger: RunLedger, index: StatIndex, site_key: SiteKey) -> None:
    """Count an outcome and put it on record."""
    source = outcome.source
    source_key = site_key.source(str(source.path))
    result.counts[outcome.outcome] += 1
    result.notes.update(outcome.notes)
    result.frames += outcome.n_frames
    if outcome.key is not None and outcome.outcome in ("encoded", "cached"):
        result.clip_of[source.path] = outcome.key
        index.record(source.path, outcome.stamp, outcome.key)
    if outcome.code is not None:
        result.troubles.append(
            Trouble(source.where, source_key, source.path, outcome.outcome, outcome.code, outcome.detail or "")
        )
    ledger.record(
        LedgerEntry(
            source=source_key,
            outcome=outcome.outcome,
            clip=outcome.key,
            membership=Membership(outcome.patient_key, outcome.exam_key, source.zone),
            code=outcome.code,
            detail=outcome.detail,
            notes=outcome.notes,
            n_frames=outcome.n_frames,
        )
    )
