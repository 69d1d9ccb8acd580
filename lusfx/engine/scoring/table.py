"""The score table: a row a unit, model and outcome, made exam by exam so that memory does not grow with the archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lusfx.cache import Membership, Store
from lusfx.engine.extraction.extract import Trouble
from lusfx.engine.scoring.answers import Answer, Answers, Panel
from lusfx.engine.scoring.exam_summary import ZoneClip, exam_rows
from lusfx.site_key import spellings
from lusfx.tables import Cell, ColumnType
from lusfx.task_model import TaskModel
from lusfx.types import ClipEmbeddings, FrameStatus, NotAssessable

SCORED, NOT_ASSESSABLE, FAILED, NOT_REACHED = "scored", "not assessable", "failed", "not reached"
DAMAGED = "damaged-in-cache"
EXAM_UNKNOWN: Mapping[str, Cell] = {
    "status": NOT_ASSESSABLE,
    "code": "exam-unknown",
    "reason": "the task is asked of exams, and nobody says which exam the clip is of. Give the manifest a column exam_id",
}
CLIPS_AT_ONCE = 512
"""Clips whose embeddings are held at a time, exams being kept together."""
BYTES_AT_ONCE = 64 << 20
"""Of these embeddings, about."""


def columns_of(models: Sequence[TaskModel], show_paths: bool) -> dict[str, ColumnType]:
    """Columns of the score table with their types, in order."""
    rules = [(p.rule.strictness, name) for model in models for o in model.card.outcomes for name, p in o.points.items()]
    points = dict.fromkeys(name for _, name in sorted(rules))
    columns: dict[str, ColumnType] = {
        "unit": "text",
        "exam": "text",
        "clip": "text",
        "frame": "integer",
        "time_s": "number",
        "patient": "text",
        "zone": "text",
        "task": "text",
        "model": "text",
        **({"trained_on": "text"} if any(model.card.trained_on for model in models) else {}),
        "outcome": "text",
        "probability": "number",
        **({"score": "number"} if any(model.card.orders_only for model in models) else {}),
    }
    columns |= {f"at_{point}": "flag" for point in points}
    columns |= {
        "answer": "text",
        "status": "text",
        "code": "text",
        "reason": "text",
        "in_training": "flag",
        "out_of_fold": "number",
        "distance": "number",
        "n_frames": "integer",
        "beam_confidence": "number",
        "notes": "text",
        "model_digest": "text",
        "fingerprint": "text",
    }
    return columns | {"path": "text"} if show_paths else columns


@dataclass(frozen=True, slots=True)
class Place:
    """A clip to be scored, or a source that gave none.

    :param key: clip key; None where there are no embeddings.
    :param path: file of the source, where it is to be named.
    :param trouble: why there are no embeddings; None where a run was stopped before the source was reached.
    """

    key: str | None
    member: Membership
    path: Path | None = None
    trouble: Trouble | None = None


@dataclass(slots=True)
class ScoreTable:
    """Makes the rows of a score table, and those of the exams on the way.

    :param exam_rows: complete once :meth:`rows` is exhausted.
    """

    places: Sequence[Place]
    panel: Panel
    store: Store
    exam_rows: list[dict[str, Cell]] = field(default_factory=list)
    _constant: dict[str, dict[str, Cell]] = field(init=False, repr=False)
    """By a model's digest, the cells that all of its rows have."""

    def __post_init__(self) -> None:
        self._constant = {model.digest: self._cells_of(model) for model in self.panel.models}

    def rows(self) -> Iterator[dict[str, Cell]]:
        """Rows exam by exam, exams in order of their first place; what has no embeddings has a status and no probability.

        Of a task that is asked of exams, a clip that no exam's answer can rest on has a row too: none is left out in silence.
        """
        for portion in self._portions():
            places = [place for group in portion for place in group]
            embeddings, damaged = self._read(places)
            given = self.panel.ask(embeddings, _exams(places, embeddings), self.store.fingerprint)
            for group in portion:
                for place in group:
                    yield from self._place(place, embeddings, given, damaged)
                exam = group[0].member.exam
                if exam is not None:
                    yield from self._exam(exam, group, given, damaged)

    def _place(
        self, place: Place, embeddings: Mapping[str, ClipEmbeddings], given: Mapping[str, Answers], damaged: set[str]
    ) -> Iterator[dict[str, Cell]]:
        """Rows of the tasks that are asked of a clip or its frames, and of all tasks where it has no embeddings."""
        if place.key is None or place.key not in embeddings:
            for model in self.panel.models:
                yield self._row(model, place, _why_absent(place, damaged))
            return
        facts = _facts_of(embeddings[place.key])
        for model in self.panel.models:
            if model.card.task.unit != "exam":
                for answer in given[model.digest][place.key]:
                    for row in self._answered(model, place, answer):
                        yield row | facts
            elif place.member.exam is None:
                yield self._row(model, place, EXAM_UNKNOWN) | facts

    def _exam(
        self, exam: str, places: Sequence[Place], given: Mapping[str, Answers], damaged: set[str]
    ) -> Iterator[dict[str, Cell]]:
        """Rows of the tasks that are asked of exams; the summaries of those that are asked of clips are kept."""
        patient = _written(places[0].member.patient)
        each = {place.key or f"#{number}": place for number, place in enumerate(places)}  # one content counts once
        for model in self.panel.models:
            answers = given[model.digest]
            if model.card.task.unit == "exam":
                whole = Place(None, Membership(patient, exam, None))
                seen = any(_seen(model, place) for place in places)
                for answer in answers.get(exam, ()):  # none where no clip has embeddings
                    for row in self._answered(model, whole, answer):
                        yield row | {"in_training": seen}
            elif model.exam_summary is not None:
                zoned = [
                    ZoneClip(place.member.zone, answers[name][0] if name in answers else _absent(place, damaged))
                    for name, place in each.items()
                ]
                self.exam_rows += exam_rows(model, exam, patient, zoned)

    def _portions(self) -> Iterator[list[list[Place]]]:
        """Places exam by exam, in portions of some clips."""
        by_exam: dict[str, list[Place]] = {}
        for number, place in enumerate(self.places):
            # A clip whose exam nobody knows stands alone.
            by_exam.setdefault(place.member.exam or f"#{number}", []).append(place)
        portion: list[list[Place]] = []
        n_clips = n_bytes = 0
        for group in by_exam.values():
            portion.append(group)
            n_clips += len(group)
            n_bytes += sum(self.store.size_of(place.key) for place in group if place.key is not None)
            if n_clips >= CLIPS_AT_ONCE or n_bytes >= BYTES_AT_ONCE:
                yield portion
                portion, n_clips, n_bytes = [], 0, 0
        if portion:
            yield portion

    def _read(self, places: Sequence[Place]) -> tuple[dict[str, ClipEmbeddings], set[str]]:
        """Embeddings by clip key, and the keys of those that the cache holds damaged: they stop no other."""
        damaged: set[str] = set()
        keys = (place.key for place in places if place.key is not None)
        return dict(self.store.read_all(keys, lambda key, error: damaged.add(key))), damaged

    def _answered(self, model: TaskModel, place: Place, answer: Answer) -> Iterator[dict[str, Cell]]:
        """A row an outcome; one row where there is no answer."""
        at: dict[str, Cell] = {"frame": answer.frame, "time_s": answer.time_s, "distance": answer.distance}
        if answer.probabilities is None:
            reason = answer.reason
            facts: dict[str, Cell] = {"status": NOT_ASSESSABLE}
            if reason is not None:
                facts |= {"code": reason.code, "reason": reason.detail}
            yield self._row(model, place, at | facts)
            return
        row = self._row(model, place, at | {"answer": answer.said, "status": SCORED})
        unit = place.key or place.member.exam or ""
        unit = unit if answer.frame is None else f"{unit}#{answer.frame}"
        said = "score" if model.card.orders_only else "probability"
        for outcome, probability in zip(model.card.outcomes, answer.probabilities.tolist(), strict=True):
            row_of_outcome = row | {"outcome": outcome.name, said: probability}
            for name, point in outcome.operating_points.items():
                row_of_outcome[f"at_{name}"] = probability >= point.threshold
            unseen = model.training_units.out_of_fold.get(outcome.name, {})
            if unit in unseen:
                row_of_outcome["out_of_fold"] = unseen[unit]
            yield row_of_outcome

    def _row(self, model: TaskModel, place: Place, facts: Mapping[str, Cell]) -> dict[str, Cell]:
        member = place.member
        row = self._constant[model.digest] | {
            "exam": member.exam,
            "clip": place.key,
            "patient": _written(member.patient),
            "zone": member.zone,
            "in_training": _seen(model, place),
        }
        if place.path is not None:
            row["path"] = str(place.path)
        row.update(facts)
        return row

    def _cells_of(self, model: TaskModel) -> dict[str, Cell]:
        return {
            "unit": model.card.task.unit,
            "task": model.card.task.name,
            "model": model.name,
            **({} if model.card.trained_on is None else {"trained_on": model.card.trained_on}),
            "model_digest": model.digest,
            "fingerprint": self.store.fingerprint,
        }


def _written(patient: str | None) -> str | None:
    """The pseudonym of the identifier as it is written, by which tables of earlier versions name the patient."""
    return patient and spellings(patient)[0]


def _seen(model: TaskModel, place: Place) -> bool:
    """Whether a clip, or another one of its patient, was in a model's training."""
    known, member = model.training_units, place.member
    return known.hold([place.key], member.patient) or known.hold([], member.file_patient)


def _facts_of(clip: ClipEmbeddings) -> dict[str, Cell]:
    """What an answer about a clip, or about a frame of it, rests on."""
    confidence, notes = clip.provenance.get("beam_confidence"), clip.provenance.get("notes")
    return {
        "n_frames": int(np.count_nonzero(clip.status == FrameStatus.OK)),
        "beam_confidence": float(confidence) if isinstance(confidence, int | float) else None,
        "notes": notes if isinstance(notes, str) else None,
    }


def _why_absent(place: Place, damaged: set[str]) -> dict[str, Cell]:
    """Status and reason of a place that has no embeddings."""
    if place.key in damaged:
        return {"status": FAILED, "code": DAMAGED, "reason": "run lusfx cache repair, then extract it again"}
    if place.trouble is None:
        return {"status": NOT_REACHED}
    return {"status": place.trouble.status, "code": place.trouble.code, "reason": place.trouble.detail}


def _absent(place: Place, damaged: set[str]) -> Answer:
    """What an exam's summary is told of a place that has no embeddings: the zone was scanned, and is not missing."""
    why = _why_absent(place, damaged)
    status = str(why["status"])
    return Answer(reason=NotAssessable(str(why.get("code", status)), str(why.get("reason", status))))


def _exams(places: Sequence[Place], embeddings: Mapping[str, ClipEmbeddings]) -> dict[str, list[str]]:
    """Clip keys of each exam that has embeddings, each once."""
    exams: dict[str, dict[str, None]] = {}
    for place in places:
        if place.member.exam is not None and place.key is not None and place.key in embeddings:
            exams.setdefault(place.member.exam, {})[place.key] = None
    return {exam: list(keys) for exam, keys in exams.items()}
