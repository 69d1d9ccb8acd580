"""A task model is written whole or not at all, and never over anything else."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lusfx.contracts import MinSpecificity, Task
from lusfx.errors import LusfxError, TaskModelError
from lusfx.task_model import (
    HeadCard,
    OperatingPointCard,
    OutcomeCard,
    RuleCard,
    TrainingCard,
    head_file,
    save_task_model,
)
from lusfx.task_model.card import head_file_owner

REPOSITORY = Path(__file__).resolve().parents[2]


class ABLines(Task):
    """Which lines?"""

    name, kind = "ab-lines", "multi-label"
    classes = ("A-lines", "B-lines")
    label_columns = ("a_lines", "b_lines")


@pytest.fixture
def save(models: Any) -> Any:
    """Write another model than the one of the fixture ``logistic``."""

    def write(directory: Path, facts: Any = None, files: Any = None, **stated: Any) -> str:
        facts = facts or models.make_facts(outcome={"n_events": 39})
        digest: str = models.save(directory, facts, files or models.files_of(models.plain_head(1)), **stated)
        return digest

    return write


# ---- what is in the way -------------------------------------------------------------------------------------------


def test_a_foreign_directory_is_left_as_it_is(save: Any, models: Any, tmp_path: Path) -> None:
    for name, content in {"thesis.txt": "years of work", "task_model.json": "{}"}.items():
        directory = tmp_path / name.replace(".", "-")
        directory.mkdir()
        (directory / name).write_text(content)
        before = models.snapshot(directory)
        with pytest.raises(TaskModelError, match="no task model: it is left as it is"):
            save(directory)
        assert models.snapshot(directory) == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_task_model_with_a_file_of_the_users_is_left_as_it_is(logistic: Path, save: Any, models: Any) -> None:
    (logistic / "notes.txt").write_text("mine")
    before = models.snapshot(logistic)
    with pytest.raises(TaskModelError, match="more than a task model"):
        save(logistic)
    assert models.snapshot(logistic) == before


def test_a_file_or_a_link_is_left_as_it_is(logistic: Path, save: Any, models: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(logistic)
    for taken in (tmp_path / "file", tmp_path / "link"):
        with pytest.raises(TaskModelError, match="not a directory"):
            save(taken)
    assert (tmp_path / "file").read_text() == "x"
    assert models.verify(logistic) == []


def test_a_task_model_and_an_empty_directory_are_replaced(logistic: Path, save: Any, models: Any) -> None:
    """By a model of more files, and then by one of fewer: nothing of the old one stays in it, and it is kept whole beside."""
    empty = logistic.parent / "empty"
    empty.mkdir()
    two = models.files_of(models.plain_head(), models.plain_head())
    for target in (logistic, empty):
        save(target, models.make_facts(task=ABLines()), two)
        assert models.load(target).card.task.name == "ab-lines"
        assert len(list(target.iterdir())) == 5
        save(target)
        assert models.load(target).card.outcomes[0].n_events == 39
        assert len(list(target.iterdir())) == 4
    names = sorted(path.name for path in logistic.parent.iterdir())
    assert names[0] == "b-lines"
    assert [name.partition(".old-")[0] for name in names] == ["b-lines"] * 3 + ["empty"] * 2
    for name in names:
        model = models.load(logistic.parent / name)
        assert ".old-" not in name or name.endswith(f".old-{model.digest[:12]}")


# ---- what goes wrong on the way -----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["_write_card", "_make_durable", "_take_the_name"])
def test_a_failure_before_the_rename_leaves_the_old_model(
    step: str, logistic: Path, save: Any, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = models.snapshot(logistic)

    def full_disk(*_arguments: object) -> None:
        raise OSError(28, "No space left on device", "/secret/DOE^JANE")

    monkeypatch.setattr(f"lusfx.task_model.directory.{step}", full_disk)
    with pytest.raises(TaskModelError, match="cannot be written: No space left on device") as error:
        save(logistic)
    assert "DOE" not in str(error.value)
    assert models.snapshot(logistic) == before
    assert [path.name for path in logistic.parent.iterdir()] == ["b-lines"]


def test_a_failed_rename_brings_the_old_model_back(
    logistic: Path, save: Any, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = models.snapshot(logistic)
    rename = os.replace

    def fails_for_the_new(source: Path, target: Path) -> None:
        if ".old-" not in source.name and target == logistic:
            raise PermissionError(13, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(os, "replace", fails_for_the_new)
    monkeypatch.setattr("lusfx.task_model.directory.exchange", lambda *_: False)  # as on a network file system
    with pytest.raises(TaskModelError, match="Permission denied"):
        save(logistic)
    assert models.snapshot(logistic) == before
    assert [path.name for path in logistic.parent.iterdir()] == ["b-lines"]


def test_a_killed_process_leaves_the_old_model(logistic: Path, save: Any, models: Any) -> None:
    """Killed when all is written and nothing renamed, as by a power cut: no handler runs."""
    before = models.snapshot(logistic)
    code = f"""
import os
from pathlib import Path
from lusfx.heads import lusfx_register_heads
from lusfx.task_model import directory, head_file, load_task_model, save_task_model
specs = {{spec.name: spec for spec in lusfx_register_heads()}}
model = load_task_model(Path({str(logistic)!r}), specs)
files = {{head_file(0, name): content for name, content in model.heads[0].files().items()}}
directory._take_the_name = lambda new, old: os._exit(9)
save_task_model(Path({str(logistic)!r}), model.card, files, model.evidence, "new")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False)
    assert done.returncode == 9
    assert models.snapshot(logistic) == before
    (left_over,) = [path for path in logistic.parent.iterdir() if path != logistic]
    assert left_over.name.startswith(".b-lines.new-")
    assert models.verify(left_over) == []
    save(logistic)
    assert models.load(logistic).card.outcomes[0].n_events == 39


def test_a_place_that_cannot_be_written_is_a_typed_error(save: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LusfxError, match="cannot be written"):
        save(tmp_path / "file" / "model")


# ---- what is written ----------------------------------------------------------------------------------------------


def test_evidence_that_could_not_be_read_back_is_not_written(save: Any, models: Any, tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"a": deep}
    sound = models.make_evidence(["yes"])
    for evidence in (sound | {"deep": deep}, sound | {1: "a", "1": "b"}, ["a list"], {}, {"patients": []}):
        with pytest.raises(TaskModelError, match="evidence"):
            save(tmp_path / "model", evidence=evidence)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("part", [float("nan"), {1, 2}, object(), {1: 1, "a": 2}])
def test_evidence_that_is_not_json_is_refused(part: Any, save: Any, models: Any, tmp_path: Path) -> None:
    with pytest.raises(TaskModelError, match="evidence cannot be written as JSON"):
        save(tmp_path / "model", evidence=models.make_evidence(["yes"]) | {"part": part})
    assert not list(tmp_path.iterdir())


def test_a_report_of_any_text_can_be_written(models: Any, tmp_path: Path) -> None:
    files, evidence = models.files_of(models.plain_head()), models.make_evidence(["yes"])
    save_task_model(tmp_path / "model", models.make_facts(), files, evidence, "half a pair: \ud800\r\n")
    assert (tmp_path / "model" / "report.html").read_bytes() == b"half a pair: ?\r\n"
    assert models.verify(tmp_path / "model") == []


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("1-head.bin",),
        ("1-head.bin", "3-head.bin"),
        ("1-head.bin", "2-head.bin", "3-head.bin"),
        ("1-head.bin", "2-head.bin", "head.bin"),
        ("1-head.bin", "2-my head.bin"),
        ("1-head.bin", "2-head.bin", "novelty.safetensors"),
        ("1-head.bin", "2-head.bin", "task_model.json"),
        ("1-head.bin", "2-../../head.bin"),
        ("1-head.bin", "2-/head.bin"),
        ("1-head.bin", "2-" + "a" * 120),
    ],
)
def test_files_that_are_not_those_of_each_head_are_not_written(
    names: tuple[str, ...], save: Any, models: Any, tmp_path: Path
) -> None:
    with pytest.raises(TaskModelError, match="cannot be written"):
        save(tmp_path / "place" / "model", models.make_facts(task=ABLines()), dict.fromkeys(names, b"x") or {"x": b""})
    assert [path.name for path in tmp_path.rglob("*")] == ["place"]


def test_a_heads_file_says_whose_it_is() -> None:
    assert head_file(0, "head.safetensors") == "1-head.safetensors"
    assert [head_file_owner(name) for name in ("1-head.bin", "12-a-b", "10000000-x")] == [0, 11, 99_999]
    for name in ("head.bin", "0-head.bin", "01-head.bin", "-head.bin", "1-", "1head", "a-1", "\N{SUPERSCRIPT TWO}-x"):
        assert head_file_owner(name) is None


def test_facts_are_checked_when_they_are_stated() -> None:
    local = datetime(2026, 11, 24, tzinfo=timezone(timedelta(hours=1)))
    numbers: dict[str, Any] = {
        "n_units": 2,
        "n_clips": 2,
        "n_patients": 1,
        "weak_labels": False,
        "seed": 0,
        "lusfx_version": "1",
    }
    with pytest.raises(ValidationError, match="UTC"):
        TrainingCard(**numbers, created=local)
    with pytest.raises(ValidationError, match="more patients than clips"):
        TrainingCard(**(numbers | {"n_patients": 3}), created=datetime(2026, 11, 24, tzinfo=UTC))
    with pytest.raises(ValidationError):
        OperatingPointCard(rule=RuleCard(kind="youden"), threshold=float("nan"))
    assert RuleCard.of(MinSpecificity(0.9)) == RuleCard(kind="min-specificity", value=0.9)
    point = OperatingPointCard(rule=RuleCard(kind="youden"), threshold=0.5)
    outcome: dict[str, Any] = {"name": "yes", "head": HeadCard(name="mlp", settings={}), "calibration": None}
    with pytest.raises(ValidationError, match="no operating point to decide"):
        OutcomeCard(**outcome, operating_points={"a": point}, decides="b", n_units=1, n_events=0)
    with pytest.raises(ValidationError, match="more events than units"):
        OutcomeCard(**outcome, operating_points={"a": point}, decides="a", n_units=1, n_events=2)


def test_a_directory_of_models_says_so(logistic: Path, models: Any) -> None:
    with pytest.raises(TaskModelError, match="has 1 task model right below it"):
        models.load(logistic.parent)
