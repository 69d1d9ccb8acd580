"""What the clips of an exam add up to, zone by zone: the worst pattern of each, and their sum where no zone is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lusfx.engine.scoring.answers import Answer
from lusfx.tables import Cell, ColumnType
from lusfx.task_model import TaskModel

ASSESSED, MISSING, NOT_ASSESSABLE = "assessed", "missing", "not assessable"
WHOLE_EXAM = "all"
"""Stands in the column ``zone`` for the exam as a whole."""
NO_ZONES = "no clip has a zone"
COLUMNS: Mapping[str, ColumnType] = {
    "exam": "text",
    "patient": "text",
    "task": "text",
    "model": "text",
    "zone": "text",
    "worst": "text",
    "sum": "integer",
    "n_clips": "integer",
    "n_assessed": "integer",
    "status": "text",
    "reason": "text",
    "model_digest": "text",
    "fingerprint": "text",
}


@dataclass(frozen=True, slots=True)
class ZoneClip:
    """One clip of an exam: where it was taken, and what the model says of it."""

    zone: str | None
    answer: Answer


def exam_rows(model: TaskModel, exam: str, patient: str | None, clips: Sequence[ZoneClip]) -> list[dict[str, Cell]]:
    """A row a zone and one of the exam as a whole.

    A zone is *missing* where the exam has no clip of it and *not assessable* where no clip of it has an answer, be it that
    none could be read. Neither is counted as class 0, and the exam then has no sum. The exam's worst is that of the zones
    that were assessed. Where no clip has a zone of the task, as DICOM files name none, the whole exam's row stands alone, and
    its worst is that of all clips.

    :param clips: of this exam; those whose zone is not one of the task's are left out, unless all are such.
    """
    summary = model.exam_summary
    if summary is None:
        return []
    constant: dict[str, Cell] = {
        "exam": exam,
        "patient": patient,
        "task": model.card.task.name,
        "model": model.name,
        "model_digest": model.digest,
        "fingerprint": model.card.features.fingerprint,
    }
    rows: list[dict[str, Cell]] = []
    worst: dict[str, int] = {}
    of_zones = [clip for clip in clips if clip.zone in summary.zones]
    for zone in summary.zones if of_zones else ():
        here = [clip.answer for clip in clips if clip.zone == zone]
        said = [_class_number(model, answer) for answer in here if answer.probabilities is not None]
        row: dict[str, Cell] = constant | {"zone": zone, "n_clips": len(here), "n_assessed": len(said)}
        if said:
            worst[zone] = max(said)
            row |= {"worst": model.card.task.classes[worst[zone]], "status": ASSESSED}
        else:
            row |= {"status": NOT_ASSESSABLE if here else MISSING, "reason": _reason(here)}
        rows.append(row)
    whole = constant | _whole(model, summary.zones, worst, of_zones or clips)
    return [*rows, whole if of_zones else whole | {"reason": NO_ZONES}]


def _whole(
    model: TaskModel, zones: Sequence[str], worst: Mapping[str, int], clips: Sequence[ZoneClip]
) -> dict[str, Cell]:
    absent = [zone for zone in zones if zone not in worst]
    said = [_class_number(model, clip.answer) for clip in clips if clip.answer.probabilities is not None]
    return {
        "zone": WHOLE_EXAM,
        "worst": model.card.task.classes[max(said)] if said else None,
        "sum": sum(worst.values()) if model.card.task.kind == "ordinal" and not absent else None,
        "n_clips": len(clips),
        "n_assessed": len(said),
        "status": ASSESSED if not absent else "incomplete",
        "reason": f"not assessed: {', '.join(absent)}" if absent else None,
    }


def _class_number(model: TaskModel, answer: Answer) -> int:
    if answer.probabilities is None:
        raise ValueError("there is no answer")
    return model.card.task.classes.index(model.answer(answer.probabilities))


def _reason(answers: Sequence[Answer]) -> str | None:
    """Why the clips of a zone have no answer, each reason once."""
    return "; ".join(dict.fromkeys(answer.reason.detail for answer in answers if answer.reason is not None)) or None
