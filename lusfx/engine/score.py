"""Answer tasks for clips: encode what is missing, read the features once, ask every head."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lusfx.cache import Cache, Membership, Store
from lusfx.contracts import Device, EncoderRequest
from lusfx.engine.encoders import feature_spec, open_encoder
from lusfx.engine.extract import BATCH_SIZE, ExtractResult, Progress, extract_with
from lusfx.engine.features import clip_features
from lusfx.errors import UsageError
from lusfx.plugins import load_registry
from lusfx.site_key import SiteKey
from lusfx.tables import Cell, check_table_name, write_table
from lusfx.task_model import TaskModel, load_task_model

SCORED = "scored"
COLUMNS = ("exam", "clip", "patient", "zone", "task", "model", "probability")
CLOSING_COLUMNS = ("status", "model_digest", "fingerprint")
READ_AT_ONCE = 4096
"""Clips whose features are held at a time, so that memory does not grow with the archive."""


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """What a scoring run did.

    :param extraction: what the run did before the heads were asked.
    :param n_scored: rows of the table with a probability, a clip and a task each.
    :param n_not_scored: rows whose status says why there is none.
    :param problems: what went wrong after the table was written.
    """

    out: Path
    extraction: ExtractResult
    models: Sequence[str]
    n_scored: int
    n_not_scored: int
    problems: Sequence[str]

    def summary(self) -> str:
        """One line that adds up."""
        rows = self.n_scored + self.n_not_scored
        return f"{rows} rows = {self.n_scored} scored + {self.n_not_scored} not scored, of {len(self.models)} models"

    def as_dict(self, show_paths: bool = False) -> dict[str, Any]:
        """For programs: what ``lusfx score --json`` prints."""
        return {
            "models": list(self.models),
            "rows": self.n_scored + self.n_not_scored,
            "scored": self.n_scored,
            "not_scored": self.n_not_scored,
            "extraction": self.extraction.as_dict(show_paths),
            "problems": list(self.problems),
        }


def score(
    sources: Sequence[Path | str],
    models: Sequence[Path | str],
    cache: Path | str,
    out: Path | str,
    *,
    encoder: str | None = None,
    device: Device = "auto",
    threads: int = 0,
    batch_size: int = BATCH_SIZE,
    show_paths: bool = False,
    site_key: SiteKey | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> ScoreResult:
    """Score clips with task models; clips that the cache lacks are encoded first.

    :param sources: folders, files and manifests.
    :param models: task model directories, all bound to one fingerprint.
    :param out: score table, ``.parquet`` or ``.csv``: a row a clip and model.
    :param encoder: the encoder, where the models' own name for it is not known here (a directory, say).
    :param show_paths: add a column ``path``; a path can name a patient.
    :raises FingerprintMismatchError: if the encoder's features are not those that a model was trained on.
    """
    out = Path(out)
    check_table_name(out)
    registry = load_registry()
    loaded = [load_task_model(Path(model), registry.heads.as_mapping()) for model in models]
    name = encoder or _common_encoder(loaded)
    opened = open_encoder(EncoderRequest(name, device=device, threads=threads), registry)
    spec = feature_spec(opened)
    for model in loaded:
        model.require_fingerprint(spec.fingerprint, opened.name)
    store_of = Cache.open(Path(cache), create=True)
    extraction = extract_with(
        opened,
        [Path(source) for source in sources],
        store_of,
        registry,
        site_key or SiteKey.load(),
        batch_size=batch_size,
        progress=progress,
        stop=stop,
    )
    rows = _rows(extraction, loaded, store_of.store(spec), store_of.memberships(), show_paths)
    points = sorted({point for model in loaded for point in model.card.operating_points})
    columns = [*COLUMNS, *(f"at_{point}" for point in points), *CLOSING_COLUMNS, *(["path"] if show_paths else [])]
    write_table(out, columns, [{column: row.get(column) for column in columns} for row in rows])
    counts = Counter(row["status"] == SCORED for row in rows)
    return ScoreResult(
        out,
        extraction,
        [model.name for model in loaded],
        counts[True],
        counts[False],
        registry.scores_written(out),
    )


def _common_encoder(models: Sequence[TaskModel]) -> str:
    if not models:
        raise UsageError("name at least one task model")
    names = {model.card.features.encoder for model in models}
    fingerprints = {model.card.features.fingerprint for model in models}
    if len(fingerprints) > 1:
        held = ", ".join(f"{model.name} needs {model.card.features.fingerprint[:12]}" for model in models)
        raise UsageError(f"the models are bound to different features: {held}. Score them in separate runs")
    return names.pop()


def _rows(
    extraction: ExtractResult,
    models: Sequence[TaskModel],
    store: Store,
    members: dict[str, Membership],
    show_paths: bool,
) -> list[dict[str, Cell]]:
    """A row a source and model, in order of the sources; what has no embeddings has a status in place of a probability."""
    scores = _scores(sorted(set(extraction.clip_of.values())), models, store)
    reasons = {trouble.path: f"{trouble.outcome}: {trouble.code}" for trouble in extraction.troubles}
    rows: list[dict[str, Cell]] = []
    for source in extraction.sources:
        key = extraction.clip_of.get(source.path)
        member = Membership(source.patient_key, source.exam_key, source.zone).or_else(members.get(key or ""))
        for model in models:
            row: dict[str, Cell] = {
                "exam": member.exam,
                "clip": key,
                "patient": member.patient,
                "zone": member.zone,
                "task": model.card.task.name,
                "model": model.name,
                "status": SCORED if key is not None else reasons.get(source.path, "not reached"),
                "model_digest": model.digest,
                "fingerprint": store.fingerprint,
            }
            if show_paths:
                row["path"] = str(source.path)
            if key is not None:
                probability = scores[model.digest, key]
                row["probability"] = probability
                row |= {f"at_{point}": answer for point, answer in model.answers(probability).items()}
            rows.append(row)
    return rows


def _scores(keys: Sequence[str], models: Sequence[TaskModel], store: Store) -> dict[tuple[str, str], float]:
    """Probability by model digest and clip key; each clip's embeddings are read once, whatever the number of models."""
    poolings = [model.card.task.pooling for model in models]
    scores: dict[tuple[str, str], float] = {}
    for start in range(0, len(keys), READ_AT_ONCE):
        chunk = keys[start : start + READ_AT_ONCE]
        features = clip_features(store, chunk, poolings)
        for model in models:
            probabilities = model.score(features[model.card.task.pooling], store.fingerprint)
            scores |= {(model.digest, key): float(p) for key, p in zip(chunk, probabilities, strict=True)}
    return scores
