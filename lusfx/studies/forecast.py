"""What a study would do, and how long it would take: nothing is encoded, decoded or kept."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from lusfx.cache import Cache, read_ledger
from lusfx.cache.store import MARKER
from lusfx.contracts import Device
from lusfx.engine.extraction.extract import extract_with
from lusfx.messages import counted
from lusfx.plugins import load_registry
from lusfx.site_key import SiteKey
from lusfx.studies.config import checked_config, read_config
from lusfx.studies.encoders import StudyEncoder
from lusfx.studies.material import Material
from lusfx.studies.plan import WHOLE, Run, StudyPlan, merit_folds, n_draws
from lusfx.studies.run import CACHE
from lusfx.studies.run_store import RunStore
from lusfx.tables import read_table

TRIAL_CLIPS = 4


@dataclass(frozen=True, slots=True)
class EncodingForecast:
    """What one encoder has yet to encode.

    :param n_clips: files of the tables without features.
    :param seconds: by a trial; None where nothing can be said, as the encoder is yet to be made, say.
    """

    encoder: str
    n_clips: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class RunsForecast:
    """What is to be trained in one way.

    :param n_done: runs whose scores are there; None where that shows only once clips are encoded.
    :param seconds: of the runs that are left, on one worker; None where nothing can be said.
    :param because: what the estimate rests on.
    :param n_inner: trainings of inner folds that the runs make for a choice, at most.
    """

    way: str
    n_runs: int
    n_inner: int
    n_done: int | None
    seconds: float | None
    because: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a study would do.

    :param workers: processes that the estimate is for.
    """

    encodings: Sequence[EncodingForecast]
    runs: Sequence[RunsForecast]
    workers: int

    def lines(self) -> list[str]:
        """For people: a line an encoder, a line a way."""
        said = [
            f"encode with {e.encoder}: {counted(e.n_clips, 'clip')}{_about(e.seconds)}"
            for e in self.encodings
            if e.n_clips
        ] or ["encode: nothing, all is in the cache"]
        for runs in self.runs:
            there = "how many are there shows once clips are encoded" if runs.n_done is None else f"{runs.n_done} there"
            inner = f" with up to {runs.n_inner} trainings of inner folds" if runs.n_inner else ""
            said.append(
                f"train in the way '{runs.way}': "
                f"{counted(runs.n_runs, 'run')}{inner}, {there}{_about(runs.seconds)} ({runs.because})"
            )
        return said

    def summary(self) -> str:
        """One line that adds up."""
        n_runs = sum(runs.n_runs for runs in self.runs)
        parts: list[float | None] = [e.seconds for e in self.encodings if e.n_clips]
        parts += [runs.seconds for runs in self.runs if runs.n_done != runs.n_runs]
        known = [part for part in parts if part is not None]
        total = f"about {_duration(sum(known))}" if known else "no time" if not parts else "no estimate"
        rest = " and what is not known yet" if known and len(known) < len(parts) else ""
        return f"{counted(n_runs, 'run')}; {total}{rest} with {self.workers} worker{'s' if self.workers > 1 else ''}"

    def as_dict(self) -> dict[str, Any]:
        """For programs: what ``lusfx study --dry-run --json`` prints."""
        return {
            "workers": self.workers,
            "encode": [{"encoder": e.encoder, "n_clips": e.n_clips, "seconds": e.seconds} for e in self.encodings],
            "train": [
                {
                    "way": r.way,
                    "n_runs": r.n_runs,
                    "n_inner": r.n_inner,
                    "n_done": r.n_done,
                    "seconds": r.seconds,
                    "because": r.because,
                }
                for r in self.runs
            ],
        }


def forecast_study(
    config: Path | str | Mapping[str, Any],
    out: Path | str,
    *,
    cache: Path | str | None = None,
    workers: int = 1,
    device: Device = "auto",
    threads: int = 0,
    site_key: SiteKey | Path | str | None = None,
) -> Forecast:
    """Say what :func:`lusfx.studies.run.study` would do with the same parameters.

    :raises UsageError: if the config makes no sense.
    """
    settled = checked_config(config, Path.cwd()) if isinstance(config, Mapping) else read_config(Path(config))
    place = Path(out)
    directory = place / CACHE if cache is None else Path(cache)
    opened = Cache.open(directory) if (directory / MARKER).exists() else None
    key = SiteKey.of(site_key)
    material = Material.open(
        settled, place, opened, load_registry(), key, device, threads, lambda _done, _of: None, threading.Event()
    )
    encodings = [_encoding(material, encoder, key) for encoder in material.frozen_encoders]
    plan = None
    if len(material.stores) == len(material.frozen_encoders) and not any(e.n_clips for e in encodings):
        plan = material.plan(with_frames=False) if material.head_plans else None
    kept = RunStore(place)
    runs = [_runs(material, plan, kept, way.name, workers, device) for way in settled.ways]
    return Forecast(encodings, runs, workers)


def _encoding(material: Material, encoder: StudyEncoder, site_key: SiteKey) -> EncodingForecast:
    """What an encoder lacks; where it lacks nothing, its features are among the material from here on."""
    frozen, name = material.frozen, encoder.entry.name
    tables = list(dict.fromkeys(path for plan in material.head_plans for path in plan.question.tables.values()))
    places = [_clips(path) for path in tables]
    everything = sorted({clip for of_table in places for clip in of_table})
    spec = encoder.open().feature_spec.sampled(encoder.entry.fps) if encoder.is_made else None
    fingerprint = None if spec is None else spec.fingerprint
    if frozen is None or fingerprint is None or not (frozen.cache.directory / fingerprint).is_dir():
        return EncodingForecast(name, len(everything), _encoding_s(material, encoder, everything, site_key))
    store = frozen.cache.find(fingerprint)
    refused = _refused(frozen.cache, fingerprint)
    lacking = set()
    for path in tables:
        for row in frozen.rows(path, store):
            clip = (path.resolve().parent / row.row["path"]) if row.row["path"] else None
            if not row.cached and clip is not None and site_key.source(os.path.normpath(clip)) not in refused:
                lacking.add(Path(os.path.normpath(clip)))
    if not lacking:
        material.stores[name] = store
    return EncodingForecast(name, len(lacking), _encoding_s(material, encoder, sorted(lacking), site_key))


def _clips(table: Path) -> list[Path]:
    """Files that a table names, absolute."""
    rows = read_table(table)
    return [Path(os.path.normpath(table.resolve().parent / row["path"])) for row in rows if row["path"]]


def _refused(cache: Cache, fingerprint: str) -> set[str]:
    """Sources that a run for these features found to be no clip: another run will not find otherwise."""
    status_of: dict[str, str] = {}
    for path in cache.ledgers():
        ledger = read_ledger(path)
        if ledger.header is not None and ledger.header["fingerprint"] == fingerprint:
            status_of |= {entry.source: entry.status for entry in ledger.entries}
    return {source for source, status in status_of.items() if status in ("failed", "skipped")}


def _encoding_s(material: Material, encoder: StudyEncoder, clips: Sequence[Path], site_key: SiteKey) -> float | None:
    """Seconds by a trial of a few clips, whose features are thrown away."""
    if not clips or not encoder.is_made:
        return None if clips else 0.0
    found = [clip for clip in clips[:: max(1, len(clips) // (1 + TRIAL_CLIPS))] if clip.exists()]
    first, tried = found[:1], found[1 : 1 + TRIAL_CLIPS] or found[:1]
    if not first:
        return None
    opened, fps = encoder.open(), encoder.entry.fps
    with tempfile.TemporaryDirectory() as directory:
        caches = {name: Cache.open(Path(directory) / name, create=True) for name in ("first", "timed")}
        results = [
            extract_with(opened, places, caches[name], material.registry, site_key, fps=fps)
            for name, places in (("first", first), ("timed", tried))  # the first brings the weights into memory
        ]
    n_encoded = results[-1].counts["encoded"]
    return results[-1].seconds / n_encoded * len(clips) if n_encoded else None


def _runs(
    material: Material, plan: StudyPlan | None, kept: RunStore, way: str, workers: int, device: Device
) -> RunsForecast:
    """What is to be trained in one way, by what was trained before or by a trial."""
    if plan is None or not any(run.way == way for run in plan.runs):
        return RunsForecast(way, *_count(material, way), None, None, "no estimate before clips are encoded")
    runs = [run for run in plan.runs if run.way == way]
    found = {run.digest: scores for run in runs if (scores := kept.read(run)) is not None}
    missing = {run.digest: run for run in runs if run.digest not in found}
    n_done, n_inner = sum(run.digest in found for run in runs), sum(run.merit_folds for run in runs)
    is_head = any(head.way.name == way for head in material.head_plans)
    shared = workers if is_head or device == "cpu" else 1
    if not missing:
        return RunsForecast(way, len(runs), n_inner, n_done, 0.0, "nothing is left")
    if found:
        seconds = _weighed(missing.values(), [(run, found[run.digest].seconds) for run in runs if run.digest in found])
        return RunsForecast(way, len(runs), n_inner, n_done, seconds / shared, "by those that are there")
    if is_head:
        largest = max(missing.values(), key=_cost)
        (job,) = material.head_jobs(plan, [largest], kept)
        seconds = _weighed(missing.values(), [(largest, job.do(largest).seconds)])
        return RunsForecast(way, len(runs), n_inner, n_done, seconds / shared, "by a trial")
    return RunsForecast(
        way, len(runs), n_inner, n_done, None, "no estimate before a network was trained: give it --minutes"
    )


def _cost(run: Run) -> int:
    """Units that are learnt from. Of *k* inner folds each leaves out a *k*-th: all cost as much as *k* - 1 trainings on all."""
    return len(run.split.train) * max(1, run.merit_folds)


def _weighed(missing: Iterable[Run], timed: Sequence[tuple[Run, float]]) -> float:
    """Seconds of runs by those of others: as long as theirs of the same fraction and folds, else in proportion to the units."""
    of_kind: dict[tuple[float, int], list[float]] = {}
    for run, seconds in timed:
        of_kind.setdefault((run.split.fraction, run.merit_folds), []).append(seconds)
    a_unit = sum(seconds for _, seconds in timed) / sum(_cost(run) for run, _ in timed)
    total = 0.0
    for run in missing:
        alike = of_kind.get((run.split.fraction, run.merit_folds))
        total += _cost(run) * a_unit if alike is None else sum(alike) / len(alike)
    return total


def _count(material: Material, way_name: str) -> tuple[int, int]:
    """Runs in one way and trainings of their inner folds, from the config alone."""
    config = material.config
    way = next(way for way in config.ways if way.name == way_name)
    merits = []
    for question in material.questions:
        folds = [*(range(config.folds) if question.cross_validated else ()), *([WHOLE] if question.tests else ())]
        for fraction, fold in product(config.fractions_of(way), folds):
            for draw, entry in product(range(n_draws(config, way, fraction, fold)), config.encoders_of(way)):
                merits.append(merit_folds(config, entry.name, way, fraction, draw, fold))
    return len(merits), sum(merits)


def _about(seconds: float | None) -> str:
    return "" if not seconds else f", about {_duration(seconds)}"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1, round(seconds))} s"
