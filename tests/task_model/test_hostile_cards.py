"""A card whose digests are all right is believed only where it makes sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import Abstention, BestWindow, Task, ZoneSummary
from lusfx.novelty import fit_novelty
from lusfx.task_model import NOVELTY_FILE, NoveltyCard


class Severity(Task):
    """How severe?"""

    name, kind = "severity", "ordinal"
    classes = ("0", "1", "2", "3")
    label_columns = ("severity",)
    exam_summary = ZoneSummary(("L1", "R1"))


class Sliding(Task):
    """Is there sliding?"""

    name = "sliding"
    label_columns = ("sliding",)
    aggregate = BestWindow(seconds=0.5)


class Familiar(Task):
    """B-lines?"""

    name = "b-lines"
    label_columns = ("b_lines",)
    abstain = Abstention(familiar=0.9)


def save(models: Any, directory: Path, task: Task, **changes: Any) -> Path:
    facts = models.make_facts(task=task, **changes)
    models.save(directory, facts, models.files_of(*[models.plain_head()] * len(facts.outcomes)))
    return directory


@pytest.fixture
def ordinal(models: Any, tmp_path: Path) -> Path:
    """A model of three outcomes that is summed up over an exam."""
    return save(models, tmp_path / "canary" / "severity", Severity())


POINT = "outcomes/0/operating_points/balanced"
FILE = {"sha256": "0" * 64, "n_bytes": 0}


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"task/surprise": 1},
        {"format": "other"},
        {"format_version": 1},
        {"format_version": 3},
        {"format_version": "2"},
        {"format_version": True},
        {"task/unit": "exams"},
        {"task/unit": "patient"},
        {"task/kind": "multi-class"},
        {"task/kind": "several"},
        {"task/classes": ["no"]},
        {"task/classes": ["no", "yes", "maybe"]},
        {"task/classes": "no"},
        {"task/classes": ["no", ""]},
        {"task/outcomes": []},
        {"task/outcomes": ["no"]},
        {"task/outcomes": ["yes", "no"]},
        {"task/name": "../b-lines"},
        {"task/name": "a" * 101},
        {"task/version": 0},
        {"task/version": True},
        {"task/pooling": "median"},
        {"task/frames_per_clip": 0},
        {"task/frames_per_clip": 1.5},
        {"task/requires": {"task": "view"}},
        {"task/requires": {"task": "../view", "is_": "pleural"}},
        {"task/requires": {"task": "view", "is_": ""}},
        {"task/abstain": None},
        {"task/abstain/min_beam_confidence": 1.1},
        {"task/abstain/min_frames": 0},
        {"task/abstain/familiar": 0.2},
        {"task/abstain/familiar": 0.9},
        {"task/exam_summary": {"zones": []}},
        {"task/exam_summary": {"zones": "L1"}},
        {"task/aggregate": "mean"},
        {"features/fingerprint": "91cc"},
        {"features/fingerprint": "91CC" * 16},
        {"features/n_features": 0},
        {"features/n_features": 1 << 40},
        {"features/dim": 0},
        {"outcomes": []},
        {"outcomes/0/name": "no"},
        {"outcomes/0/decides": "unheard-of"},
        {"outcomes/0/operating_points": {}},
        {"outcomes/0/operating_points": {"a b": {"rule": {"kind": "youden", "value": None}, "threshold": 0.5}}},
        {f"{POINT}/threshold": "0.5"},
        {f"{POINT}/threshold": -0.1},
        {f"{POINT}/threshold": 2.1},
        {f"{POINT}/threshold": 1e999},
        {f"{POINT}/rule": {"kind": "youden", "value": 0.5}},
        {f"{POINT}/rule": {"kind": "min-sensitivity", "value": None}},
        {f"{POINT}/rule": {"kind": "random"}},
        {"outcomes/0/n_events": 81},
        {"outcomes/0/n_events": -1},
        {"outcomes/0/n_units": 0},
        {"outcomes/0/head/name": "svm"},
        {"outcomes/0/head/settings": {"no_such": 1}},
        {"outcomes/0/head/settings": {"logit_variance": [[1]]}},
        {"outcomes/0/head/settings": {"logit_variance": -1}},
        {"novelty": {"limit": 1.5}},
        {"training/n_patients": 81},
        {"training/n_units": 0},
        {"training/weak_labels": 0},
        {"training/created": "yesterday"},
        {"training/created": "2026-11-24T12:00:00"},
        {"training/created": "2026-11-24T12:00:00+01:00"},
        {"files": {}},
        {"files/task_model.json": FILE},
        {"files/..%2Fx": FILE},
        {"files/missing.bin": FILE},
        {"files/2-head.safetensors": FILE},
        {"files/0-head.safetensors": FILE},
        {"files/01-head.safetensors": FILE},
        {"files/1-": FILE},
        {"files/1\N{SUPERSCRIPT TWO}-head.safetensors": FILE},
        {"files/novelty.safetensors": FILE},
        {"files/report.html/n_bytes": -1},
        {"files/report.html/n_bytes": 1 << 60},
        {"files/report.html/sha256": "0" * 64},
    ],
    ids=lambda change: f"{next(iter(change))}={json.dumps(next(iter(change.values())))[:40]}",
)
def test_a_card_that_makes_no_sense_is_refused(logistic: Path, models: Any, change: dict[str, Any]) -> None:
    models.edit_card(logistic, change)
    models.refusal(logistic)


def test_a_model_of_the_first_format_is_to_be_trained_again(logistic: Path, models: Any) -> None:
    """Whatever else it holds: its cards had other fields."""
    old = {"format": "lusfx-task-model", "format_version": 1, "head": {"name": "logistic"}, "canary": "canary"}
    (logistic / "task_model.json").write_text(json.dumps(old))
    refusal = models.refusal(logistic)
    assert refusal.startswith(
        "the task model has format version 1, and this lusfx reads 2. Train it again, into another"
    )
    assert "canary" not in refusal


def test_no_message_repeats_a_value_of_the_card(logistic: Path, models: Any) -> None:
    content = (logistic / "task_model.json").read_bytes()
    for key in (
        "task/name",
        "task/unit",
        "task/question",
        "features/fingerprint",
        "training/created",
        "training/n_clips",
        "outcomes/0/calibration",
        "outcomes/0/decides",
    ):
        (logistic / "task_model.json").write_bytes(content)
        models.edit_card(logistic, {key: "DOE^JANE" * 200})
        assert "DOE" not in models.refusal(logistic)


# ---- outcomes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"task/outcomes": ["at least 1", "at least 2"]},
        {"task/outcomes": ["at least 1", "at least 3", "at least 2"]},
        {"task/classes": ["0", "1", "2"]},
        {"task/kind": "multi-label"},
        {"task/kind": "multi-class"},
        {"task/unit": "exam"},
        {"task/unit": "frame"},
    ],
)
def test_outcomes_that_are_not_those_of_the_task_are_refused(ordinal: Path, models: Any, change: Any) -> None:
    models.edit_card(ordinal, change)
    assert "task_model.json is invalid" in models.refusal(ordinal)


def test_an_outcome_without_a_head_and_a_head_without_an_outcome_are_refused(ordinal: Path, models: Any) -> None:
    card = json.loads((ordinal / "task_model.json").read_text())
    files = card["files"]
    head = files["3-head.safetensors"]
    fewer = {name: fact for name, fact in files.items() if name != "3-head.safetensors"}
    for wrong in (fewer, files | {"4-head.safetensors": head}, fewer | {"4-head.safetensors": head}):
        models.edit_card(ordinal, {"files": wrong})
        assert "the files must be evidence.json, report.html and those of each head" in models.refusal(ordinal)
    models.edit_card(ordinal, {"files": files, "outcomes": card["outcomes"][:2]})
    assert "the outcomes are not those of the task" in models.refusal(ordinal)
    models.edit_card(ordinal, {"outcomes": card["outcomes"]})
    assert models.verify(ordinal) == []


def test_only_levels_can_be_summed_up(models: Any, tmp_path: Path) -> None:
    """The answer to several labels is none of their names, and the highest of several classes means nothing."""
    labels = type("Labels", (Severity,), {"kind": "multi-label", "exam_summary": None, "__doc__": "?"})()
    directory = save(models, tmp_path / "canary" / "labels", labels)
    for kind in ("multi-label", "multi-class"):
        models.edit_card(directory, {"task/kind": kind, "task/exam_summary": {"zones": ["L1"]}})
        assert "only the answers of a binary or an ordinal task are summarised" in models.refusal(directory)


# ---- calibrations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "calibration",
    [
        {"kind": "platt"},
        {"kind": "platt", "slope": 1.0},
        {"kind": "platt", "slope": -0.1, "intercept": 0.0},
        {"kind": "platt", "slope": "1", "intercept": 0.0},
        {"kind": "platt", "slope": 1.0, "intercept": 0.0, "scores": [0.5]},
        {"kind": "isotonic", "scores": [], "probabilities": []},
        {"kind": "isotonic", "scores": [0.1, 0.2], "probabilities": [0.1]},
        {"kind": "isotonic", "scores": [0.2, 0.1], "probabilities": [0.1, 0.2]},
        {"kind": "isotonic", "scores": [0.1, 0.1], "probabilities": [0.1, 0.2]},
        {"kind": "isotonic", "scores": [0.1, 0.2], "probabilities": [0.2, 0.1]},
        {"kind": "isotonic", "scores": [0.1, 1.2], "probabilities": [0.1, 0.2]},
        {"kind": "isotonic", "scores": [-0.1, 0.2], "probabilities": [0.1, 0.2]},
        {"kind": "isotonic", "scores": [0.1, 0.2], "probabilities": [0.1, 2]},
        {"kind": "isotonic", "slope": 1.0, "intercept": 0.0},
        {"kind": "beta", "slope": 1.0, "intercept": 0.0},
        {"slope": 1.0, "intercept": 0.0},
        {},
        "platt",
    ],
    ids=json.dumps,
)
def test_a_calibration_that_makes_no_sense_is_refused(logistic: Path, models: Any, calibration: Any) -> None:
    models.edit_card(logistic, {"outcomes/0/calibration": calibration})
    assert "task_model.json is invalid: outcomes.0.calibration" in models.refusal(logistic)


@pytest.mark.parametrize(
    "calibration",
    [
        {"kind": "platt", "slope": 1e300, "intercept": -1e300},
        {"kind": "platt", "slope": 0, "intercept": 0},
        {"kind": "isotonic", "scores": [0.5], "probabilities": [0.3]},
    ],
    ids=json.dumps,
)
def test_an_odd_calibration_still_gives_probabilities(logistic: Path, models: Any, calibration: Any) -> None:
    models.edit_card(logistic, {"outcomes/0/calibration": calibration})
    scores = models.load(logistic).score(models.units_of("logistic"), models.fingerprint)
    assert ((scores >= 0) & (scores <= 1)).all()


# ---- aggregations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("mean", {"seconds": 1.0}),
        ("longest-run", {"above": 0.5, "seconds": 0.0}),
        ("longest-run", {"above": 1.5, "seconds": 1.0}),
        ("longest-run", {"below": 0.5}),
        ("best-window", {"seconds": -1.0}),
        ("best-window", {"self": 1.0}),
        ("best-window", {"above": 0.5, "seconds": 1.0}),
        ("noisy-or", {"seconds": 0.0}),
        ("noisy-or", {"look": 1.0}),
    ],
)
def test_parameters_that_are_not_the_aggregations_own_are_refused(
    models: Any, tmp_path: Path, kind: str, parameters: dict[str, float]
) -> None:
    directory = save(models, tmp_path / "canary" / "sliding", Sliding())
    models.edit_card(directory, {"task/aggregate": {"kind": kind, "parameters": parameters}})
    assert models.refusal(directory) == f"the aggregation '{kind}' has other parameters"


@pytest.mark.parametrize(
    "aggregate",
    [
        {"kind": "median", "parameters": {}},
        {"kind": "best-window", "parameters": {"seconds": "1"}},
        {"kind": "best-window", "parameters": {"a b": 1.0}},
        {"kind": "best-window"},
    ],
    ids=json.dumps,
)
def test_an_aggregation_that_is_none_is_refused(models: Any, tmp_path: Path, aggregate: Any) -> None:
    directory = save(models, tmp_path / "canary" / "sliding", Sliding())
    models.edit_card(directory, {"task/aggregate": aggregate})
    assert "task_model.json is invalid: task.aggregate" in models.refusal(directory)


def test_left_out_parameters_have_their_defaults(models: Any, tmp_path: Path) -> None:
    directory = save(models, tmp_path / "canary" / "sliding", Sliding())
    models.edit_card(directory, {"task/aggregate": {"kind": "best-window", "parameters": {}}})
    assert models.load(directory).aggregation == BestWindow(seconds=1.0)


# ---- novelty ------------------------------------------------------------------------------------------------------


@pytest.fixture
def familiar(models: Any, tmp_path: Path) -> Path:
    """A model that answers nothing far from its training set."""
    novelty = fit_novelty(models.units_of("logistic").centres, np.array([f"p-{row // 4}" for row in range(80)]))
    files = models.files_of(models.plain_head()) | {NOVELTY_FILE: novelty.to_bytes()}
    directory = tmp_path / "canary" / "b-lines"
    models.save(directory, models.make_facts(task=Familiar(), novelty=NoveltyCard(limit=2.0)), files)
    return directory


def test_a_novelty_of_other_embeddings_is_refused(familiar: Path, models: Any) -> None:
    others = np.random.default_rng(0).normal(size=(20, models.n_features + 1))
    other = fit_novelty(others, np.array([str(row) for row in range(20)]))
    models.with_true_digest(familiar, NOVELTY_FILE, other.to_bytes())
    assert "novelty.safetensors: the array 'mean' has shape (13,), not (12,)" in models.refusal(familiar)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * 100])
def test_a_hostile_novelty_with_a_true_digest_is_refused(familiar: Path, models: Any, content: bytes) -> None:
    models.with_true_digest(familiar, NOVELTY_FILE, content)
    assert "novelty.safetensors is not a valid safetensors file" in models.refusal(familiar)


def test_a_limit_and_its_novelty_belong_together(familiar: Path, models: Any) -> None:
    card = json.loads((familiar / "task_model.json").read_text())
    files = {name: fact for name, fact in card["files"].items() if name != NOVELTY_FILE}
    for change in (
        {"novelty": None},
        {"files": files},
        {"novelty/limit": 0},
    ):
        (familiar / "task_model.json").write_text(json.dumps(card))
        models.edit_card(familiar, change)
        assert "task_model.json is invalid" in models.refusal(familiar)
