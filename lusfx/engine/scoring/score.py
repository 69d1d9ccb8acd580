"""Answer tasks for clips: encode what is missing, read the features once, ask every model."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lusfx.arguments import optional_path, paths
from lusfx.cache import Cache, Membership, Store
from lusfx.config import FeatureSpec
from lusfx.contracts import Device, Encoder, EncoderRequest, Runtime
from lusfx.engine.extraction.census import MAX_SKIPPED
from lusfx.engine.extraction.extract import BATCH_SIZE, ExtractResult, Progress, extract_with
from lusfx.engine.extraction.known_bad import read_known_bad
from lusfx.engine.extraction.opening import open_encoder, open_encoder_of
from lusfx.engine.extraction.sources import check_places
from lusfx.engine.samples.stores import store_for
from lusfx.engine.scoring import exam_summary
from lusfx.engine.scoring.answers import Panel
from lusfx.engine.scoring.report import score_page
from lusfx.engine.scoring.result import ScoreResult, ScoreTally
from lusfx.engine.scoring.table import Place, ScoreTable, columns_of
from lusfx.errors import FingerprintMismatchError, LusfxError, RunInterruptedError, TaskModelError, UsageError
from lusfx.messages import counted, short
from lusfx.outputs import prepare_files, refuse_taken
from lusfx.plugins import Registry, load_registry
from lusfx.report import write_page
from lusfx.site_key import SiteKey
from lusfx.tables import Cell, check_table_name, write_table
from lusfx.task_model import TaskModel, load_task_model, model_places, models_below


def score(
    sources: Path | str | Iterable[Path | str],
    models: Path | str | Iterable[Path | str],
    cache: Path | str,
    out: Path | str | None = None,
    *,
    encoder: str | Path | None = None,
    with_gates: bool = True,
    device: Device = "auto",
    threads: int = 0,
    runtime: Runtime = "auto",
    batch_size: int = BATCH_SIZE,
    workers: int | None = None,
    max_skipped: float = MAX_SKIPPED,
    known_bad: Path | None = None,
    other_site_key: bool = False,
    show_paths: bool = False,
    report: Path | str | None = None,
    force: bool = False,
    site_key: SiteKey | Path | str | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> ScoreResult:
    """Score clips with task models; clips that the cache lacks are encoded first. The features are read once for all models.

    :param sources: folders, files and manifests, one or several. With none, all clips that the cache holds are scored, and no
        encoder and no source file is needed.
    :param models: task model directories, one or several, all bound to one fingerprint, or directories of such; and names of
        starter models, ``starter/NAME`` (:func:`lusfx.task_model.model_place`). One that is named twice, or a copy of
        it, answers once.
    :param out: score table, ``.parquet`` or ``.csv``: a row a unit, model and outcome; None for none, where the result's
        ``words`` are enough. Where a model summarises exams, they
        get a table of their own beside it, its name ending in ``-exams``.
    :param encoder: the encoder, where no model brings it along and the models' own name for it is not known here (a
        directory, say). Nothing is ever fetched for it.
    :param with_gates: whether a task that requires another's answer is asked only where it has it; the other's model must
        then be among ``models``.
    :param runtime: what computes the encoder, where it has a choice. The precision, and how many frames of each second are
        encoded, are those that the models were trained on.
    :param workers: decoding processes, as :func:`lusfx.extract` takes them.
    :param max_skipped: share of the pictures that may be skipped or left out, as :func:`lusfx.extract` takes it.
    :param known_bad: as :func:`lusfx.extract` takes it.
    :param other_site_key: as :func:`lusfx.extract` takes it.
    :param show_paths: add a column ``path``; a path can name a patient.
    :param report: where to write an HTML report, if anywhere; it has no pictures and names no file.
    :param force: whether tables and a report that are there may be replaced.
    :raises FingerprintMismatchError: if the encoder's features are not those that a model was trained on.
    :raises LusfxError: if the sources hold no clip, or all failed and there is a table, which is left as it is.
    :raises RunInterruptedError: if ``stop`` is set while the table is written, or earlier and there is a table already: it is
        left as it is.
    """
    out, report = optional_path(out), optional_path(report)
    places_of_sources, directories = paths("sources", sources), model_places("models", models)
    _check_outputs(out, report, force)
    if places_of_sources:
        check_places(places_of_sources)
    registry, known = load_registry(), read_known_bad(known_bad)
    loaded = _load_models(directories, registry)
    panel = Panel(loaded, with_gates)
    exams_out = _exams_place(out, loaded)
    prepare_files({"table": out, "table of exams": exams_out, "report": report}, read=places_of_sources, force=force)
    if places_of_sources:
        request = EncoderRequest(
            name=str(encoder or loaded[0].card.features.encoder),
            device=device,
            threads=threads,
            precision=loaded[0].card.features.precision,  # models of one fingerprint were all trained on one
            runtime=runtime,
            download=False,
        )
        opened, spec = _open_encoder_of(loaded, request, encoder is not None, registry)
        holder = Cache.open(Path(cache), create=True)
        extraction = extract_with(
            opened,
            places_of_sources,
            holder,
            registry,
            SiteKey.of(site_key),
            fps=spec.preprocess.fps,
            batch_size=batch_size,
            workers=workers,
            max_skipped=max_skipped,
            known_bad=known,
            other_site_key=other_site_key,
            progress=progress,
            stop=stop,
        )
        _require_worth(extraction, out)
        if (
            stop is not None
            and stop.is_set()
            and any(place is not None and place.exists() for place in (out, exams_out))
        ):
            raise RunInterruptedError(
                "stopped before all clips were encoded: the table that is there was left as it is. Run it again"
            )
        store = holder.store(spec)
        places = _places_of_run(extraction, holder.memberships(), show_paths)
    else:
        holder, extraction = Cache.open(Path(cache)), None
        store = store_for(holder, loaded[0])
        places = _places_of_cache(store, holder.memberships())
    started = time.monotonic()
    table, tally = ScoreTable(places, panel, store), ScoreTally(loaded)
    # Stopped while it encoded, a run scores what it has; stopped from here on, it leaves no table.
    rows = table.rows() if stop is None or stop.is_set() else _until(stop, table.rows())
    for what, place in (("table", out), ("table of exams", exams_out)):
        if place is not None:  # somebody may have written one meanwhile
            refuse_taken(what, place, force)
    counted_rows = tally.count_rows(rows)
    if out is None:
        deque(counted_rows, maxlen=0)
    else:
        write_table(out, columns_of(loaded, show_paths), counted_rows)
    if exams_out is not None:
        write_table(exams_out, exam_summary.COLUMNS, table.exam_rows)
    written = [place for place in (out, exams_out) if place is not None]
    problems = registry.scores_written(written, [model.name for model in loaded]) if written else []
    result = ScoreResult(
        out=out,
        exams=exams_out,
        extraction=extraction,
        tally=tally,
        problems=problems,
        exam_warnings=_without_zones(table.exam_rows),
    )
    if report is not None:
        write_page(score_page(result, table.exam_rows, time.monotonic() - started), report)
    return result


def _check_outputs(out: Path | None, report: Path | None, force: bool) -> None:
    """Refuse what can be refused at once. Where the table of exams goes is known with the models."""
    if out is not None:
        check_table_name(out)
    for what, place in (("table", out), ("report", report)):
        if place is not None and place.is_file():
            refuse_taken(what, place, force)


def _require_worth(extraction: ExtractResult, out: Path | None) -> None:
    """Stop where a table would say nothing, or only that the sources are gone, in place of one that says something.

    :raises LusfxError: with the reason.
    """
    reason = extraction.nothing_came_of_it or extraction.some_are_empty
    if reason and (not extraction.found or (out is not None and out.exists())):
        raise LusfxError(f"{reason}{'' if reason.endswith('?') else '.'} Nothing was written")


def _load_models(directories: Sequence[Path], registry: Registry) -> list[TaskModel]:
    """The models, each once; of a directory that is none itself, those right below it.

    :raises UsageError: if there is none, or they are bound to different features.
    """
    heads, tasks = registry.heads.as_mapping(), registry.tasks.as_mapping()
    loaded = []
    for number, directory in enumerate(directories, start=1):
        for place in models_below(directory) or [directory]:
            try:
                loaded.append(load_task_model(place, heads, tasks))
            except TaskModelError as error:
                if len(directories) == 1:
                    raise
                raise type(error)(f"model {number} of {len(directories)}: {error}") from None
    models = list({model.digest: model for model in loaded}.values())
    if not models:
        raise UsageError("name at least one task model")
    if len({model.card.features.fingerprint for model in models}) > 1:
        held = ", ".join(f"{model.name} needs {short(model.card.features.fingerprint)}" for model in models)
        raise UsageError(f"the models are bound to different features: {held}. Score them in separate runs")
    return models


def _open_encoder_of(
    models: Sequence[TaskModel], request: EncoderRequest, named: bool, registry: Registry
) -> tuple[Encoder, FeatureSpec]:
    """Open the encoder whose features the models take: the one that the user named, or one that a model brings along, or
    one that was converted here, or the models' name for it. Nothing is fetched.

    :returns: the encoder, and the spec of these features.
    :raises FingerprintMismatchError: if its features are not those that a model was trained on.
    """
    features = models[0].card.features  # models of one fingerprint all take one rate
    brought = next((str(model.own_encoder) for model in models if model.own_encoder is not None), None)
    if named:
        opened = open_encoder(request, registry)
    elif brought is not None:
        opened = open_encoder(replace(request, name=brought), registry)
    else:
        opened = open_encoder_of(features.fingerprint, features.fps, request, registry)
    spec = opened.feature_spec.sampled(features.fps)
    for model in models:
        if model.card.features.fingerprint == spec.as_prepared_by(1).fingerprint:
            raise FingerprintMismatchError(
                f"{model.name} was trained on frames of version 1 of the preprocessing, and this lusfx prepares them by "
                f"version {spec.preprocess.version}. Extract the labelled clips again, and train it again (lusfx train-task)"
            )
        model.require_fingerprint(spec.fingerprint, opened.name)
    return opened, spec


def _places_of_cache(store: Store, members: Mapping[str, Membership]) -> list[Place]:
    """Every clip that the cache holds."""
    return [Place(key, members.get(key, Membership())) for key in sorted(store.keys())]


def _places_of_run(extraction: ExtractResult, members: Mapping[str, Membership], show_paths: bool) -> list[Place]:
    """Every source of a run, in its order."""
    troubles = {trouble.path: trouble for trouble in extraction.troubles}
    places = []
    for source in extraction.sources:
        key = extraction.clip_of.get(source.path)
        member = Membership(source.patient_key, source.exam_key, source.zone).or_else(members.get(key or ""))
        path = source.path if show_paths else None
        places.append(Place(key, member, path, troubles.get(source.path)))
    return places


def _without_zones(exam_rows: Sequence[Mapping[str, Cell]]) -> list[str]:
    """What to say of exams that cannot be summed up by zones."""
    n_exams = len({row["exam"] for row in exam_rows if row.get("reason") == exam_summary.NO_ZONES})
    if not n_exams:
        return []
    return [
        f"no clip of {counted(n_exams, 'exam')} has a zone, so there is no sum. A manifest's column 'zone' names the zones"
    ]


def _exams_place(out: Path | None, models: Sequence[TaskModel]) -> Path | None:
    """Where the table of exams goes; None where no model summarises exams, or no table is asked for."""
    if out is None or all(model.exam_summary is None for model in models):
        return None
    return out.with_name(f"{out.stem}-exams{out.suffix}")


def _until(stop: threading.Event, rows: Iterator[dict[str, Cell]]) -> Iterator[dict[str, Cell]]:
    for row in rows:
        if stop.is_set():
            raise RunInterruptedError("stopped while scoring: no table was written. Run it again")
        yield row
