"""The labels of COVID-BLUES mean what the tasks say."""

from __future__ import annotations

import pytest
from lusfx_blues import ALines, BLines, Severity

from lusfx.plugins import check_task


@pytest.mark.parametrize("task", [ALines(), BLines(), Severity()])
def test_tasks_are_sound(task: ALines | BLines | Severity) -> None:
    check_task(task)
    assert set(task.operating_points) == {"balanced", "screen", "rule-in"}


@pytest.mark.parametrize(("cell", "target"), [("0", 0), ("1", 1), ("1.0", 1)])
def test_lines_are_zero_or_one(cell: str, target: int) -> None:
    assert ALines().label(cell) == target
    assert BLines().label(cell) == target


@pytest.mark.parametrize("cell", ["2", "yes", "nan", "-1", "0.5"])
def test_anything_else_is_an_error(cell: str) -> None:
    with pytest.raises(ValueError):
        BLines().label(cell)


@pytest.mark.parametrize(("cell", "target"), [("0", 0), ("1.0", 0), ("2", 1), ("3.0", 1)])
def test_severity_from_two(cell: str, target: int) -> None:
    assert Severity().label(cell) == target


@pytest.mark.parametrize("cell", ["4", "1.5", "mild", "nan"])
def test_severity_is_a_whole_score(cell: str) -> None:
    with pytest.raises(ValueError):
        Severity().label(cell)
