"""The labels of an effusion mean what the tasks say."""

from __future__ import annotations

import pytest
from lusfx_pleural_effusion import PleuralEffusion, PleuralEffusionAnyView, lusfx_register_tasks

from lusfx.contracts import Gate, Task, check_task
from lusfx.testing import TaskConformance

TASKS = pytest.mark.parametrize("task", lusfx_register_tasks(), ids=lambda task: task.name)


class TestPleuralEffusion(TaskConformance):
    task = PleuralEffusion()


class TestPleuralEffusionAnyView(TaskConformance):
    task = PleuralEffusionAnyView()


@TASKS
def test_tasks_are_sound(task: Task) -> None:
    check_task(task)
    assert task.outcomes == ("effusion",)
    assert list(task.operating_points) == ["balanced", "screen", "rule-in"]


@TASKS
@pytest.mark.parametrize(
    ("cell", "target"), [("0", 0), ("1", 1), ("1.0", 1), ("", None), ("indeterminate", None), ("Indeterminate", None)]
)
def test_an_effusion_is_seen_or_not_or_not_known(task: Task, cell: str, target: int | None) -> None:
    assert task.target({"effusion": cell}) == target


@TASKS
@pytest.mark.parametrize("cell", ["2", "maybe", "nan", "-1", "0.5", "small"])
def test_anything_else_is_an_error(task: Task, cell: str) -> None:
    with pytest.raises(ValueError):
        task.target({"effusion": cell})


def test_one_is_asked_of_pleural_views_and_one_of_all() -> None:
    assert PleuralEffusion().requires == Gate(task="view", is_="pleural")
    assert PleuralEffusionAnyView().requires is None
