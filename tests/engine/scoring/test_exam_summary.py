"""What the clips of an exam add up to: the worst of each zone, and a sum only where no zone is missing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import Task, ZoneSummary
from lusfx.engine.scoring.answers import Answer
from lusfx.engine.scoring.exam_summary import COLUMNS, ZoneClip, exam_rows
from lusfx.task_model import (
    FeaturesCard,
    HeadCard,
    OperatingPointCard,
    OutcomeCard,
    RuleCard,
    TaskCard,
    TaskModel,
    TaskModelFacts,
    TrainingCard,
)
from lusfx.task_model.card import make_card
from lusfx.types import NotAssessable

FINGERPRINT = "ab" * 32


class Severity(Task):
    """How severe?"""

    name, kind = "severity", "ordinal"
    classes = ("none", "some", "much", "all")
    label_columns = ("severity",)
    exam_summary = ZoneSummary(("L1", "L2", "R1"))


class Consolidation(Task):
    """Is there a consolidation?"""

    name = "consolidation"
    label_columns = ("consolidation",)
    exam_summary = ZoneSummary(("L1", "R1"))


class Plain(Task):
    """Is there an effusion?"""

    name = "effusion"
    label_columns = ("effusion",)


def make_model(task: Task) -> TaskModel:
    """A model that says yes to an outcome from a half on. It is not asked here: its answers are made up."""
    card = TaskCard.of(task)
    outcome: dict[str, Any] = {
        "head": HeadCard(name="none", settings={}),
        "calibration": None,
        "operating_points": {"balanced": OperatingPointCard(rule=RuleCard(kind="youden"), threshold=0.5)},
        "decides": "balanced",
        "n_units": 2,
        "n_events": 1,
    }
    facts = TaskModelFacts(
        task=card,
        features=FeaturesCard(fingerprint=FINGERPRINT, encoder="made-up", dim=1, n_features=1),
        outcomes=tuple(OutcomeCard(name=name, **outcome) for name in card.outcomes),
        novelty=None,
        training=TrainingCard(
            n_units=2, n_clips=2, n_patients=2, weak_labels=False, seed=0, lusfx_version="0", created=datetime.now(UTC)
        ),
    )
    names = ["evidence.json", "report.html", *(f"{number + 1}-head" for number in range(len(card.outcomes)))]
    return TaskModel(
        card=make_card(facts, dict.fromkeys(names, b"")),
        heads=[],
        calibrations=[],
        aggregation=None,
        novelty=None,
        task=None,
        evidence={},
        digest="cd" * 32,
    )


SEVERITY, CONSOLIDATION = make_model(Severity()), make_model(Consolidation())


def at(zone: str | None, level: int, n_steps: int = 3) -> ZoneClip:
    """A clip of a zone that is answered with a level."""
    return ZoneClip(zone, Answer(np.where(np.arange(n_steps) < level, 0.9, 0.1)))


def silent(zone: str, detail: str = "too few frames") -> ZoneClip:
    """A clip of a zone that is not assessable."""
    return ZoneClip(zone, Answer(reason=NotAssessable("some-code", detail)))


def rows_of(model: TaskModel, *clips: ZoneClip) -> dict[str, dict[str, Any]]:
    """Rows of an exam by zone."""
    rows = exam_rows(model, "exam-1", "patient-1", clips)
    found: dict[str, dict[str, Any]] = {str(row["zone"]): dict(row) for row in rows}
    assert len(found) == len(rows)
    assert all(set(row) <= set(COLUMNS) for row in rows)
    return found


def test_a_complete_exam_has_the_worst_of_each_zone_and_their_sum() -> None:
    rows = rows_of(SEVERITY, at("L1", 1), at("L2", 0), at("L1", 3), at("R1", 2), at("L1", 2))
    assert list(rows) == ["L1", "L2", "R1", "all"]
    assert [rows[zone]["worst"] for zone in rows] == ["all", "none", "much", "all"]
    assert [rows[zone]["status"] for zone in rows] == ["assessed"] * 4
    assert [rows[zone]["n_clips"] for zone in rows] == [3, 1, 1, 5]
    assert [rows[zone].get("sum") for zone in rows] == [None, None, None, 3 + 0 + 2]
    assert rows["all"]["reason"] is None
    for row in rows.values():
        assert (row["exam"], row["patient"], row["task"]) == ("exam-1", "patient-1", "severity")
        assert (row["model"], row["model_digest"]) == ("severity@cdcdcdcdcdcd", "cd" * 32)
        assert row["fingerprint"] == FINGERPRINT


def test_a_missing_zone_is_reported_and_never_counted_as_none() -> None:
    rows = rows_of(SEVERITY, at("L1", 1), at("R1", 2))
    assert (rows["L2"]["status"], rows["L2"]["n_clips"], rows["L2"]["n_assessed"]) == ("missing", 0, 0)
    assert rows["L2"].get("worst") is None
    whole = rows["all"]
    assert (whole["sum"], whole["status"]) == (None, "incomplete")
    assert whole["worst"] == "much"
    assert whole["reason"] == "not assessed: L2"


def test_a_zone_whose_clips_have_no_answer_is_not_missing() -> None:
    rows = rows_of(
        SEVERITY, at("L1", 1), at("R1", 0), silent("L2"), silent("L2", "a strange clip"), silent("L2", "a strange clip")
    )
    assert (rows["L2"]["status"], rows["L2"]["n_clips"], rows["L2"]["n_assessed"]) == ("not assessable", 3, 0)
    assert rows["L2"]["reason"] == "too few frames; a strange clip"
    assert rows["L2"].get("worst") is None
    assert (rows["all"]["sum"], rows["all"]["n_clips"], rows["all"]["n_assessed"]) == (None, 5, 2)


def test_a_zone_is_assessed_by_the_clips_that_have_an_answer() -> None:
    rows = rows_of(SEVERITY, at("L1", 1), silent("L1"), at("L2", 1), at("R1", 1))
    assert (rows["L1"]["status"], rows["L1"]["n_clips"], rows["L1"]["n_assessed"]) == ("assessed", 2, 1)
    assert rows["all"]["sum"] == 3


def test_clips_of_other_zones_and_of_none_are_left_out() -> None:
    rows = rows_of(SEVERITY, at("L1", 0), at("L2", 0), at("R1", 0), at("L9", 3), at(None, 3), at("l1", 3))
    assert (rows["all"]["worst"], rows["all"]["sum"], rows["all"]["n_clips"]) == ("none", 0, 3)


def test_an_exam_without_zones_has_its_worst_clip_and_no_sum() -> None:
    """DICOM files name no zone: six rows that all say 'missing' would tell nobody anything."""
    rows = rows_of(SEVERITY, at(None, 1), at("L9", 2), silent("L9"))
    assert list(rows) == ["all"]
    assert (rows["all"]["worst"], rows["all"]["sum"], rows["all"]["status"]) == ("much", None, "incomplete")
    assert (rows["all"]["n_clips"], rows["all"]["n_assessed"], rows["all"]["reason"]) == (3, 2, "no clip has a zone")


def test_an_exam_without_an_answer_has_no_worst() -> None:
    reasons = {(): "no clip has a zone", ("L1", "L2", "R1"): "not assessed: L1, L2, R1"}
    for zones, reason in reasons.items():
        whole = rows_of(SEVERITY, *map(silent, zones))["all"]
        assert (whole["worst"], whole["sum"], whole["status"]) == (None, None, "incomplete")
        assert whole["reason"] == reason


def test_yes_and_no_are_not_summed() -> None:
    rows = rows_of(CONSOLIDATION, at("L1", 0, 1), at("R1", 1, 1))
    assert [rows[zone]["worst"] for zone in ("L1", "R1", "all")] == ["no", "yes", "yes"]
    assert (rows["all"]["sum"], rows["all"]["status"]) == (None, "assessed")


def test_a_level_that_is_reached_over_a_denied_step_does_not_count() -> None:
    leaping = ZoneClip("L1", Answer(np.array([0.9, 0.1, 0.9])))
    rows = rows_of(SEVERITY, leaping, at("L2", 0), at("R1", 0))
    assert (rows["L1"]["worst"], rows["all"]["sum"]) == ("some", 1)


def test_a_task_without_a_summary_has_no_rows() -> None:
    assert exam_rows(make_model(Plain()), "exam-1", None, [at("L1", 1, 1)]) == []


@pytest.mark.parametrize("levels", [(0, 0, 0), (3, 3, 3), (1, 2, 3)])
def test_the_sum_is_that_of_the_zones_levels(levels: tuple[int, int, int]) -> None:
    rows = rows_of(SEVERITY, *(at(zone, level) for zone, level in zip(("L1", "L2", "R1"), levels, strict=True)))
    assert rows["all"]["sum"] == sum(levels)
    assert rows["all"]["worst"] == Severity.classes[max(levels)]
