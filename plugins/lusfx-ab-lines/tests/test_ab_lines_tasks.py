"""The labels of COVID-BLUES mean what the tasks say."""

from __future__ import annotations

import pytest
from lusfx_ab_lines import AB, ABLines, ALines, BLines, Severity, lusfx_register_tasks

from lusfx.contracts import UNKNOWN, Gate, Task, check_task
from lusfx.testing import TaskConformance


class TestABLines(TaskConformance):
    task = ABLines()


class TestAB(TaskConformance):
    task = AB()


class TestALines(TaskConformance):
    task = ALines()


class TestBLines(TaskConformance):
    task = BLines()


class TestSeverity(TaskConformance):
    task = Severity()


@pytest.mark.parametrize("task", lusfx_register_tasks(), ids=lambda task: task.name)
def test_tasks_are_sound(task: Task) -> None:
    check_task(task)
    assert list(task.operating_points) == ["balanced", "screen", "rule-in"]


def test_only_ab_lines_has_a_gate() -> None:
    gates = {task.name: task.requires for task in lusfx_register_tasks() if task.requires is not None}
    assert gates == {"ab-lines": Gate(task="view", is_="parenchymal")}


@pytest.mark.parametrize("task", [ALines(), BLines()], ids=lambda task: task.name)
@pytest.mark.parametrize(
    ("cell", "target"), [("0", 0), ("1", 1), ("1.0", 1), ("", None), ("indeterminate", None), ("INDETERMINATE", None)]
)
def test_lines_are_zero_or_one(task: Task, cell: str, target: int | None) -> None:
    (column,) = task.label_columns
    assert task.target({column: cell}) == target


@pytest.mark.parametrize("task", [ABLines(), AB(), ALines(), BLines()], ids=lambda task: task.name)
@pytest.mark.parametrize("cell", ["2", "maybe", "nan", "-1", "0.5"])
def test_anything_else_is_an_error(task: Task, cell: str) -> None:
    for column in task.label_columns:
        with pytest.raises(ValueError):
            task.target(dict.fromkeys(task.label_columns, "1") | {column: cell})


@pytest.mark.parametrize(
    ("a_lines", "b_lines", "target", "outcomes"),
    [
        ("1", "1", [1, 1], (1, 1)),
        ("0", "1", [0, 1], (0, 1)),
        ("", "0", [None, 0], (UNKNOWN, 0)),
        ("1", "indeterminate", [1, None], (1, UNKNOWN)),
        ("", "", [None, None], (UNKNOWN, UNKNOWN)),
    ],
)
def test_ab_lines_are_two_labels(
    a_lines: str, b_lines: str, target: list[int | None], outcomes: tuple[int, int]
) -> None:
    task = ABLines()
    assert task.target({"a_lines": a_lines, "b_lines": b_lines}) == target
    assert task.outcome_targets(target) == outcomes
    assert task.outcomes == ("A-lines", "B-lines")


@pytest.mark.parametrize(
    ("a_lines", "b_lines", "target"),
    [
        ("1", "1", 1),
        ("0", "1", 1),
        ("", "1", 1),
        ("indeterminate", "1", 1),
        ("1", "0", 0),
        ("0", "0", None),
        ("", "0", None),
        ("indeterminate", "0", None),
        ("1", "", None),
        ("1", "indeterminate", None),
        ("0", "", None),
        ("", "", None),
    ],
)
def test_ab_is_b_lines_wherever_they_are_seen(a_lines: str, b_lines: str, target: int | None) -> None:
    task = AB()
    assert task.target({"a_lines": a_lines, "b_lines": b_lines}) == target
    assert task.outcome_targets(target) == (UNKNOWN if target is None else target,)


@pytest.mark.parametrize(
    ("cell", "target"), [("0", 0), ("1.0", 1), ("2", 2), ("3.0", 3), ("", None), ("indeterminate", None)]
)
def test_severity_is_a_level(cell: str, target: int | None) -> None:
    assert Severity().target({"severity": cell}) == target


@pytest.mark.parametrize("cell", ["4", "-1", "1.5", "mild", "nan"])
def test_severity_is_a_whole_level(cell: str) -> None:
    with pytest.raises(ValueError):
        Severity().target({"severity": cell})


def test_severity_is_answered_step_by_step_and_zone_by_zone() -> None:
    task = Severity()
    assert task.outcomes == ("at least 1", "at least 2", "at least 3")
    assert task.outcome_targets(2) == (1, 1, 0)
    assert task.exam_summary is not None
    assert task.exam_summary.zones == ("L1", "L2", "L3", "R1", "R2", "R3")
