"""Answer tasks for clips: encode what is missing, read the features once, ask every model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lusfx.cache import Cache, Membership, Store
from lusfx.config import FeatureSpec
from lusfx.contracts import Device, Encoder, EncoderRequest, Runtime
from lusfx.engine.extraction.census import MAX_SKIPPED
from lusfx.engine.extraction.extract import BATCH_SIZE, ExtractResult, Progress, extract_with
from lusfx.engine.extraction.opening import open_encoder
from lusfx.engine.samples.stores import store_for
from lusfx.engine.scoring import exam_summary
from lusfx.engine.scoring.answers import Panel
from lusfx.engine.scoring.report import score_page
from lusfx.engine.scoring.result import ScoreResult, ScoreTally
from lusfx.engine.scoring.table import Place, ScoreTable, columns_of
from lusfx.errors import FingerprintMismatchError, RunInterruptedError, UsageError
from lusfx.messages import short
from lusfx.outputs import prepare_files
from lusfx.plugins import Registry, load_registry
from lusfx.report import write_page
from lusfx.site_key import SiteKey
from lusfx.tables import Cell, check_table_name, write_table
from lusfx.task_model import TaskModel, load_task_model


def score(
    sources: Sequence[Path | str],
    models: Sequence[Path | str],
    cache: Path | str,
    out: Path | str,
    *,
    encoder: str | None = None,
    with_gates: bool = True,
    device: Device = "auto",
    threads: int = 0,
    runtime: Runtime = "auto",
    batch_size: int = BATCH_SIZE,
    workers: int | None = None,
    max_skipped: float = MAX_SKIPPED,
    other_site_key: bool = False,
    show_paths: bool = False,
    report: Path | None = None,
    site_key: SiteKey | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> ScoreResult:
    """Score clips with task models; clips that the cache lacks are encoded first. The features are read once for all models.

    :param sources: folders, files and manifests. With none, all clips that the cache holds are scored, and no encoder and no
        source file is needed.
    :param models: task model directories, all bound to one fingerprint. One that is named twice, or a copy of it, answers once.
    :param out: score table, ``.parquet`` or ``.csv``: a row a unit, model and outcome. Where a model summarises exams, they
        get a table of their own beside it, its name ending in ``-exams``.
    :param encoder: the encoder, where no model brings it along and the models' own name for it is not known here (a
        directory, say).
    :param with_gates: whether a task that requires another's answer is asked only where it has it; the other's model must
        then be among ``models``.
    :param runtime: what computes the encoder, where it has a choice. The precision, and how many frames of each second are
        encoded, are those that the models were trained on.
    :param workers: decoding processes, as :func:`lusfx.extract` takes them.
    :param max_skipped: share of the pictures that may be skipped or left out, as :func:`lusfx.extract` takes it.
    :param other_site_key: as :func:`lusfx.extract` takes it.
    :param show_paths: add a column ``path``; a path can name a patient.
    :param report: where to write an HTML report, if anywhere; it has no pictures and names no file.
    :raises FingerprintMismatchError: if the encoder's features are not those that a model was trained on.
    :raises RunInterruptedError: if ``stop`` is set while the table is written.
    """
    out = Path(out)
    check_table_name(out)
    registry = load_registry()
    loaded = _load_models(models, registry)
    panel = Panel(loaded, with_gates)
    exams_out = _exams_place(out, loaded)
    prepare_files(
        {"table": out, "table of exams": exams_out, "report": None if report is None else Path(report)},
        read=map(Path, sources),
    )
    if sources:
        request = EncoderRequest(
            name=encoder or _encoder_of(loaded),
            device=device,
            threads=threads,
            precision=loaded[0].card.features.precision,  # models of one fingerprint were all trained on one
            runtime=runtime,
        )
        opened, spec = _open_encoder_of(loaded, request, registry)
        holder = Cache.open(Path(cache), create=True)
        extraction = extract_with(
            opened,
            [Path(source) for source in sources],
            holder,
            registry,
            site_key or SiteKey.load(),
            fps=spec.preprocess.fps,
            batch_size=batch_size,
            workers=workers,
            max_skipped=max_skipped,
            other_site_key=other_site_key,
            progress=progress,
            stop=stop,
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
    write_table(out, columns_of(loaded, show_paths), tally.count_rows(rows))
    if exams_out is not None:
        write_table(exams_out, exam_summary.COLUMNS, table.exam_rows)
    problems = registry.scores_written(out)
    result = ScoreResult(out=out, exams=exams_out, extraction=extraction, tally=tally, problems=problems)
    if report is not None:
        write_page(score_page(result, table.exam_rows, time.monotonic() - started), report)
    return result


def _load_models(directories: Sequence[Path | str], registry: Registry) -> list[TaskModel]:
    """The models, each once.

    :raises UsageError: if there is none, or they are bound to different features.
    """
    heads, tasks = registry.heads.as_mapping(), registry.tasks.as_mapping()
    loaded = [load_task_model(Path(directory), heads, tasks) for directory in directories]
    models = list({model.digest: model for model in loaded}.values())
    if not models:
        raise UsageError("name at least one task model")
    if len({model.card.features.fingerprint for model in models}) > 1:
        held = ", ".join(f"{model.name} needs {short(model.card.features.fingerprint)}" for model in models)
        raise UsageError(f"the models are bound to different features: {held}. Score them in separate runs")
    return models


def _encoder_of(models: Sequence[TaskModel]) -> str:
    """The encoder of models that all take the same features: one that a model brings along, or the first one's name for it."""
    brought = [str(model.own_encoder) for model in models if model.own_encoder is not None]
    return (*brought, models[0].card.features.encoder)[0]


def _open_encoder_of(
    models: Sequence[TaskModel], request: EncoderRequest, registry: Registry
) -> tuple[Encoder, FeatureSpec]:
    """Open the encoder whose features the models take.

    :returns: the encoder, and the spec of these features.
    :raises FingerprintMismatchError: if its features are not those that a model was trained on.
    """
    opened = open_encoder(request, registry)
    spec = opened.feature_spec.sampled(models[0].card.features.fps)  # models of one fingerprint all take one rate
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


def _exams_place(out: Path, models: Sequence[TaskModel]) -> Path | None:
    """Where the table of exams goes; None where no model summarises exams."""
    if all(model.card.task.exam_summary is None for model in models):
        return None
    return out.with_name(f"{out.stem}-exams{out.suffix}")


def _until(stop: threading.Event, rows: Iterator[dict[str, Cell]]) -> Iterator[dict[str, Cell]]:
    for row in rows:
        if stop.is_set():
            raise RunInterruptedError("stopped while scoring: no table was written. Run it again")
        yield row
