"""The labels of views and zones mean what the tasks say."""

from __future__ import annotations

import pytest
from lusfx_view import VIEW_OF_ZONE, View, ViewByZone, lusfx_register_tasks

from lusfx.contracts import Task, check_task
from lusfx.testing import TaskConformance


class TestView(TaskConformance):
    task = View()


class TestViewByZone(TaskConformance):
    task = ViewByZone()
    examples = ({"zone": "L1"}, {"zone": "R2"}, {"zone": "L3"}, {"zone": "r3"})


@pytest.mark.parametrize("task", lusfx_register_tasks(), ids=lambda task: task.name)
def test_tasks_are_sound(task: Task) -> None:
    check_task(task)
    assert task.outcomes == ("pleural",)


@pytest.mark.parametrize(
    ("cell", "target"),
    [
        ("parenchymal", 0),
        ("Pleural", 1),
        ("0", 0),
        ("1", 1),
        ("1.0", 1),
        ("", None),
        ("indeterminate", None),
        ("Indeterminate", None),
    ],
)
def test_a_view_is_a_word_or_a_number(cell: str, target: int | None) -> None:
    assert View().target({"view": cell}) == target


@pytest.mark.parametrize("cell", ["2", "0.5", "nan", "plural", "yes"])
def test_anything_else_is_an_error_that_does_not_repeat_the_cell(cell: str) -> None:
    with pytest.raises(ValueError, match=r"^expected parenchymal, pleural, 0 or 1$"):
        View().target({"view": cell})


@pytest.mark.parametrize(
    ("cell", "target"),
    [("L1", 0), ("L2", 0), ("L3", 1), ("R1", 0), ("R2", 0), ("R3", 1), ("r3", 1), ("", None), ("indeterminate", None)],
)
def test_posterolateral_points_count_as_pleural(cell: str, target: int | None) -> None:
    assert ViewByZone().target({"zone": cell}) == target


@pytest.mark.parametrize("cell", ["L4", "R0", "PLAPS", "left", "3"])
def test_a_zone_of_another_scheme_is_not_known(cell: str) -> None:
    assert ViewByZone().target({"zone": cell}) is None


def test_each_point_of_the_protocol_has_a_view() -> None:
    assert sorted(VIEW_OF_ZONE) == ["L1", "L2", "L3", "R1", "R2", "R3"]
