"""Encode what the cache lacks."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lusfx.arguments import optional_path, paths
from lusfx.cache import STATUSES, Cache, LedgerEntry, Membership, RunLedger, StatIndex
from lusfx.config import Precision
from lusfx.contracts import Device, Encoder, EncoderRequest, Runtime
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.engine.extraction.census import MAX_SKIPPED, Census, PictureShare, census_as_dict
from lusfx.engine.extraction.decoding.decoders import workers_for
from lusfx.engine.extraction.decoding.limits import Limits
from lusfx.engine.extraction.encoding import batch_s_of_environment
from lusfx.engine.extraction.intake import Settlement
from lusfx.engine.extraction.known_bad import KnownBad, read_known_bad
from lusfx.engine.extraction.opening import open_encoder
from lusfx.engine.extraction.pipeline import Pipeline
from lusfx.engine.extraction.profile import Profile
from lusfx.engine.extraction.sources import Shard, Source, check_places, discover
from lusfx.errors import UsageError
from lusfx.messages import counted
from lusfx.plugins import Registry, load_registry
from lusfx.shown import Shown
from lusfx.site_key import SiteKey

BATCH_SIZE = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    :param settled: sources of which it is known what became of them.
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
    status: str
    code: str
    detail: str

    def as_dict(self, show_paths: bool) -> dict[str, str]:
        facts = {
            "where": self.where,
            "source": self.source_key,
            "outcome": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        return facts | {"path": str(self.path)} if show_paths else facts


@dataclass(slots=True, repr=False)
class ExtractResult(Shown):
    """What a run did: ``found == encoded + cached + failed + skipped + not_reached``.

    :param found: sources of this run's shard.
    :param other_shards: sources that belong to other shards, and are counted nowhere else.
    :param batch_size: frames that were encoded at a time in the end; fewer than asked for where the encoder ran out of memory.
    :param census: what the searched folders hold besides sources, of all shards.
    :param pictures_left_out: files of a picture kind that no reader claims, of this shard.
    :param max_skipped: share of the pictures that may be skipped or left out.
    :param empty_places: numbers, from 1, of the named places that hold no source.
    :param clip_of: clip key of each source that is in the cache now.
    """

    fingerprint: str
    encoder: str
    found: int
    not_clips: int = 0
    census: Census = field(default_factory=Census)
    pictures_left_out: int = 0
    max_skipped: float = MAX_SKIPPED
    known_bad: KnownBad = field(default=frozenset(), repr=False)
    empty_places: tuple[int, ...] = ()
    shard: Shard | None = None
    other_shards: int = 0
    batch_size: int = BATCH_SIZE
    batch_was_reduced: bool = False
    profile: Profile = field(default_factory=Profile)
    frames: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    troubles: list[Trouble] = field(default_factory=list)
    clip_of: dict[Path, str] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)

    @property
    def not_reached(self) -> int:
        """Sources that the run was stopped before; 0 unless it was interrupted."""
        return self.found - sum(self.counts[status] for status in STATUSES)

    @property
    def n_known_bad(self) -> int:
        """Sources that failed as it was known that they would."""
        return sum(self.is_known_bad(trouble) for trouble in self.troubles)

    def is_known_bad(self, trouble: Trouble) -> bool:
        """Whether a source failed as it was known that it would."""
        return trouble.status == "failed" and (trouble.source_key, trouble.code) in self.known_bad

    @property
    def some_are_empty(self) -> str | None:
        """A sentence, where a named place holds no clip; else None."""
        if not self.empty_places:
            return None
        numbers = ", ".join(map(str, self.empty_places))
        return f"no clip is in source {numbers}, counted as they were named: is its disk not mounted? Else leave it out"

    @property
    def nothing_came_of_it(self) -> str | None:
        """A sentence, where sources were asked for and none has embeddings now; else None."""
        if not self.found and not self.other_shards:
            return "no clip was found in the sources. Is a folder empty, or its disk not mounted?"
        if self.counts["failed"] > self.n_known_bad and not self.clip_of and not self.interrupted:
            return f"none of {counted(self.found, 'source')} could be encoded"
        return None

    @property
    def interrupted(self) -> bool:
        return self.not_reached > 0

    @property
    def picture_share(self) -> PictureShare:
        """What share of the pictures was skipped or left out, of those that were reached."""
        skipped = (trouble.code for trouble in self.troubles if trouble.status == "skipped")
        return PictureShare.of(self.found - self.not_reached, skipped, self.pictures_left_out)

    @property
    def too_many_skipped(self) -> str | None:
        """A sentence, where the share of the pictures that were skipped or left out is more than was allowed; else None."""
        share = self.picture_share
        return share.sentence(self.max_skipped) if share.exceeds(self.max_skipped) else None

    def summary(self) -> str:
        """One line that adds up."""
        known = {"failed": f" ({self.n_known_bad} known)"} if self.n_known_bad else {}
        terms = " + ".join(f"{self.counts[status]} {status}{known.get(status, '')}" for status in STATUSES)
        line = f"{self.found} found = {terms}"
        if self.interrupted:
            line += f" + {self.not_reached} not reached (interrupted)"
        if self.shard is not None:
            line = f"shard {self.shard}: {line}; {self.other_shards} in other shards"
        rate = f", {self.frames / self.seconds:.0f} frames/s" if self.frames else ""
        return f"{line}; {counted(self.frames, 'frame')} in {self.seconds:.1f} s{rate}"

    def table_cells(self) -> list[list[str]]:
        """Sources by what became of them."""
        return [list(STATUSES), [str(self.counts[status]) for status in STATUSES]]

    def profile_as_dict(self) -> dict[str, Any]:
        """Where the time went, for programs; :class:`~lusfx.engine.extraction.profile.Profile` says what the figures are."""
        return self.profile.as_dict(self.seconds, self.frames, self.counts["encoded"])

    def as_dict(self, show_paths: bool = False) -> dict[str, Any]:
        """For programs: what ``lusfx extract --json`` prints."""
        return {
            "fingerprint": self.fingerprint,
            "encoder": self.encoder,
            "found": self.found,
            **{status: self.counts[status] for status in STATUSES},
            "known_bad": self.n_known_bad,
            "not_reached": self.not_reached,
            "not_clips": self.not_clips,
            "census": census_as_dict(self.census, self.picture_share, self.max_skipped),
            "shard": None if self.shard is None else str(self.shard),
            "other_shards": self.other_shards,
            "batch_size": self.batch_size,
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
            "empty_sources": list(self.empty_places),
            "notes": dict(self.notes),
            "troubles": [trouble.as_dict(show_paths) for trouble in self.troubles],
        }


def extract(
    sources: Path | str | Iterable[Path | str],
    cache: Path | str,
    *,
    encoder: str | Path = DEFAULT_ENCODER,
    weights: Path | str | None = None,
    device: Device = "auto",
    threads: int = 0,
    precision: Precision = "float32",
    fps: float | None = None,
    runtime: Runtime = "auto",
    batch_size: int = BATCH_SIZE,
    workers: int | None = None,
    shard: tuple[int, int] | None = None,
    max_skipped: float = MAX_SKIPPED,
    known_bad: Path | None = None,
    other_site_key: bool = False,
    site_key: SiteKey | Path | str | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> ExtractResult:
    """Run an encoder once over every clip that the cache lacks.

    :param sources: folders, files and manifests, in any mixture; one or several.
    :param cache: cache directory; made if it does not exist.
    :param encoder: registered name or encoder directory.
    :param weights: safetensors file for an encoder that takes one.
    :param precision: what the encoder computes in; features of the two never mix.
    :param fps: encode so many frames of each second of a clip, chosen by their times, in place of all; features of two rates
        never mix. A clip of no more frames a second, and one whose times are not known, is encoded whole.
    :param runtime: what computes it, where the encoder has a choice.
    :param threads: CPU threads of the encoder; 0 takes as many as the process may use.
    :param batch_size: frames encoded at a time; it decides speed, not values.
    :param workers: decoding processes; 0 decodes in this process, None takes ``LUSFX_WORKERS``, or as many as help: at
        most one for two cores, and 8.
    :param shard: ``(i, n)`` takes the i-th of n parts of the sources, from 1; the parts are told by the sources' paths.
    :param max_skipped: share of the pictures, 0 to 1, that may be skipped by code or left out because no reader claims them;
        of more the result says so (``too_many_skipped``), and the command ends with exit code 3.
    :param known_bad: table of sources that are known to fail, as ``lusfx cache troubles --accept`` writes it; the result counts
        their failures apart.
    :param other_site_key: go on with a cache of another site key, whose patients the new pseudonyms do not match.
    :param site_key: makes pseudonyms, itself or as its file; by default the site's own key file.
    :param progress: called after each settled source, on the caller's thread.
    :param stop: set it to end the run early; the clip in hand is dropped and the result says so.
    :raises LusfxError: where the run as a whole cannot go on. A bad source never raises: the result and the ledger have it.
    """
    places = paths("sources", sources)
    check_places(places)
    known = read_known_bad(known_bad)
    registry = load_registry()
    request = EncoderRequest(str(encoder), optional_path(weights), device, threads, precision, runtime)
    opened = open_encoder(request, registry)
    return extract_with(
        opened,
        places,
        Cache.open(Path(cache), create=True),
        registry,
        SiteKey.of(site_key),
        fps=fps,
        batch_size=batch_size,
        workers=workers,
        shard=None if shard is None else Shard(*shard),
        max_skipped=max_skipped,
        known_bad=known,
        other_site_key=other_site_key,
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
    fps: float | None = None,
    batch_size: int = BATCH_SIZE,
    workers: int | None = None,
    shard: Shard | None = None,
    max_skipped: float = MAX_SKIPPED,
    known_bad: KnownBad = frozenset(),
    other_site_key: bool = False,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> ExtractResult:
    """:func:`extract` with its parts already opened.

    :param registry: whose readers are not those that this environment's plugins register, clips are decoded in this process.
    """
    if not 0 <= max_skipped <= 1:
        raise UsageError("the share of pictures that may be skipped is from 0 to 1")
    started = time.monotonic()
    stop = stop or threading.Event()
    n_workers, limits, batch_s = workers_for(registry, workers), Limits.of_environment(), batch_s_of_environment()
    spec = encoder.feature_spec.sampled(fps)
    if not other_site_key:
        cache.require_site_key(site_key)
    store = cache.store(spec)
    with ExitStack() as opened:
        index = opened.enter_context(cache.stat_index(site_key))
        keys = store.keys()
        # What was encoded under another fingerprint only has to be opened, so somebody must tell what it is.
        found = discover(places, registry, site_key, known=lambda path: index.lookup(path) in keys)
        # Not before the sources are found: of what is refused there is nothing to put on record.
        ledger = opened.enter_context(
            cache.start_run(spec.fingerprint, encoder.name, site_key, other_site_key=True, seen=encoder.training_sets)
        )
        sources = [source for source in found.sources if shard is None or shard.holds(source.path)]
        pipeline = Pipeline(
            spec,
            encoder,
            site_key,
            keys.__contains__,
            store.write,
            stop,
            batch_size,
            workers=n_workers,
            limits=limits,
            batch_s=batch_s,
        )
        result = ExtractResult(
            fingerprint=spec.fingerprint,
            encoder=encoder.name,
            found=len(sources),
            not_clips=found.not_clips,
            census=found.census,
            pictures_left_out=sum(shard is None or shard.holds(path) for path in found.census.pictures),
            max_skipped=max_skipped,
            known_bad=known_bad,
            empty_places=found.empty_places,
            shard=shard,
            other_shards=len(found.sources) - len(sources),
            profile=pipeline.profile,
            notes=found.notes,
            sources=sources,
        )
        for settlement in _settlements(sources, index, keys, pipeline):
            with pipeline.profile.stage("ledger"):
                _record(settlement, result, ledger, index, site_key)
            if progress is not None:
                progress(Progress(sum(result.counts.values()), result.found, result.frames))
        result.batch_size = pipeline.streams.batch_size
        result.batch_was_reduced = result.batch_size < batch_size
        result.seconds = time.monotonic() - started
        ledger.finish(not_reached=result.not_reached, left_out=result.census.of_reasons())
    return result


def _settlements(sources: list[Source], index: StatIndex, keys: set[str], pipeline: Pipeline) -> Iterable[Settlement]:
    """First what a look at the file's size and time shows to be cached, then the rest through the pipeline."""
    rest = []
    for source in sources:
        key = index.lookup(source.path)
        if key is not None and key in keys:
            yield Settlement(source, "cached", key, None, source.patient_key, exam_key=source.exam_key)
        else:
            rest.append(source)
    if rest:
        yield from pipeline.run(rest)


def _record(
    settlement: Settlement, result: ExtractResult, ledger: RunLedger, index: StatIndex, site_key: SiteKey
) -> None:
    """Count what became of a source, and put it on record."""
    source = settlement.source
    source_key = site_key.source(str(source.path))
    result.counts[settlement.status] += 1
    result.notes.update(settlement.notes)
    result.frames += settlement.n_frames
    if settlement.key is not None and settlement.status in ("encoded", "cached"):
        result.clip_of[source.path] = settlement.key
        index.record(source.path, settlement.stamp, settlement.key)
    if settlement.code is not None:
        result.troubles.append(
            Trouble(source.where, source_key, source.path, settlement.status, settlement.code, settlement.detail or "")
        )
    ledger.record(
        LedgerEntry(
            source=source_key,
            status=settlement.status,
            clip=settlement.key,
            membership=Membership(
                settlement.patient_key, settlement.exam_key, source.zone, settlement.file_patient_key
            ),
            code=settlement.code,
            detail=settlement.detail,
            notes=settlement.notes,
            n_frames=settlement.n_frames,
        )
    )
