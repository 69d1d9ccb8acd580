"""What label cells state, and which yes-or-no questions a target answers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lusfx.contracts import UNKNOWN, Target, Task


class Effusion(Task):
    """Pleural effusion, one answer a clip.

    More of it, which is not the question.
    """

    name = "effusion"
    classes = ("no effusion", "effusion")
    label_columns = ("effusion",)


class View(Task):
    """What a clip shows."""

    name, kind = "view", "multi-class"
    classes = ("pleural", "cardiac", "other")
    label_columns = ("view",)


class Score(Task):
    """Aeration of a zone."""

    name, kind = "lus-score", "ordinal"
    classes = ("0", "1", "2", "3")
    label_columns = ("score",)


class Signs(Task):
    """Which signs are there."""

    name, kind = "signs", "multi-label"
    classes = ("b-lines", "consolidation", "effusion")
    label_columns = ("b", "c", "e")


@pytest.mark.parametrize(("cell", "label"), [("0", 0), ("1", 1), ("1.0", 1), ("0.0", 0), ("1e0", 1)])
def test_a_binary_label_is_0_or_1(cell: str, label: int) -> None:
    stated = Effusion().label(cell)
    assert stated == label
    assert type(stated) is int
    assert Effusion().target({"effusion": cell}) == label


@pytest.mark.parametrize("cell", ["2", "-1", "0.5", "yess", "nan", "inf", "1e999", "effusions", "1,0"])
@pytest.mark.parametrize("task", [Effusion(), Signs()], ids=lambda task: task.name)
def test_what_is_neither_0_nor_1_makes_no_sense(task: Task, cell: str) -> None:
    with pytest.raises(ValueError):
        task.label(cell)


@pytest.mark.parametrize(
    ("cell", "label"), [("yes", 1), ("YES", 1), ("True", 1), ("no", 0), ("FALSE", 0), ("1", 1), ("0.0", 0)]
)
@pytest.mark.parametrize("task", [Effusion(), Signs()], ids=lambda task: task.name)
def test_a_yes_or_no_question_is_answered_in_words_too(task: Task, cell: str, label: int) -> None:
    assert task.label(cell) == label


def test_a_binary_label_may_be_the_name_of_its_class_and_a_number_is_a_number_first() -> None:
    class Sex(Task):
        """Which?"""

        name, classes, label_columns = "sex", ("1", "f"), ("sex",)

    assert [Sex().label(cell) for cell in ("f", "1", "0")] == [1, 1, 0]
    assert [Effusion().label(name) for name in Effusion.classes] == [0, 1]
    with pytest.raises(ValueError):
        Score().label("yes")


def test_a_label_out_of_range_is_told_what_was_expected() -> None:
    with pytest.raises(ValueError, match="expected 0 or 1"):
        Effusion().label("2")
    with pytest.raises(ValueError, match="expected a whole number from 0 to 3"):
        Score().label("4")
    with pytest.raises(ValueError, match="expected one of pleural, cardiac, other"):
        View().label("liver")


@pytest.mark.parametrize(("cell", "label"), [("0", 0), ("2", 2), ("3", 3), ("3.0", 3)])
def test_an_ordinal_label_is_the_number_of_its_level(cell: str, label: int) -> None:
    assert Score().target({"score": cell}) == label


@pytest.mark.parametrize("cell", ["4", "-1", "1.5", "nan"])
def test_a_level_that_is_none_makes_no_sense(cell: str) -> None:
    with pytest.raises(ValueError):
        Score().label(cell)


def test_a_multi_class_label_is_the_name_of_its_class() -> None:
    assert [View().target({"view": name}) for name in View.classes] == [0, 1, 2]
    for cell in ("1", "Cardiac", ""):
        with pytest.raises(ValueError):
            View().label(cell)


@pytest.mark.parametrize("cell", ["", "indeterminate", "Indeterminate", "INDETERMINATE"])
@pytest.mark.parametrize("task", [Effusion(), View(), Score()], ids=lambda task: task.name)
def test_a_cell_that_says_nothing_is_not_known_and_no_negative(task: Task, cell: str) -> None:
    target = task.target({task.label_columns[0]: cell})
    assert target is None
    assert set(task.outcome_targets(target)) == {UNKNOWN}


def test_a_task_says_itself_what_means_not_known() -> None:
    class Other(Effusion):
        """Asks the same."""

        not_known = ("?", "n/a")

    assert Other().target({"effusion": "N/A"}) is None
    assert Other().target({"effusion": "?"}) is None
    with pytest.raises(ValueError):
        Other().target({"effusion": "indeterminate"})


def test_each_label_is_read_by_itself() -> None:
    target = Signs().target({"b": "1", "c": "Indeterminate", "e": "0"})
    assert target == [1, None, 0]
    assert Signs().outcome_targets(target) == (1, UNKNOWN, 0)


def test_a_plugin_may_read_labels_in_its_own_way() -> None:
    class Words(Effusion):
        """By words."""

        def label(self, cell: str) -> int | None:
            return {"present": 1, "absent": 0}.get(cell)

    assert [Words().target({"effusion": cell}) for cell in ("present", "absent", "anything", "")] == [1, 0, None, None]

    class Sides(Effusion):
        """By two columns."""

        label_columns = ("left", "right")

        def target(self, cells: Mapping[str, str]) -> Target:
            sides = [self.known(cells[column]) for column in self.label_columns]
            return 1 if 1 in sides else None if None in sides else 0

    sides = [("1", ""), ("0", ""), ("0", "0"), ("0", "1")]
    assert [Sides().target({"left": left, "right": right}) for left, right in sides] == [1, None, 0, 1]


def test_outcomes_are_the_questions_that_heads_answer() -> None:
    assert Effusion().outcomes == ("effusion",)
    assert View().outcomes == ("pleural", "cardiac", "other")
    assert Score().outcomes == ("at least 1", "at least 2", "at least 3")
    assert Signs().outcomes == ("b-lines", "consolidation", "effusion")


def test_targets_answer_each_outcome() -> None:
    assert [Effusion().outcome_targets(target) for target in (0, 1)] == [(0,), (1,)]
    assert [View().outcome_targets(target) for target in range(3)] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert [Score().outcome_targets(target) for target in range(4)] == [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)]
    assert Signs().outcome_targets((0, 1, None)) == (0, 1, UNKNOWN)
    assert Signs().outcome_targets(None) == (UNKNOWN,) * 3


@given(st.integers(0, 3), st.integers(0, 3))
def test_a_higher_level_answers_yes_to_no_fewer_steps(one: int, other: int) -> None:
    steps = (Score().outcome_targets(min(one, other)), Score().outcome_targets(max(one, other)))
    assert all(lower <= higher for lower, higher in zip(*steps, strict=True))
    assert sum(Score().outcome_targets(one)) == one


@pytest.mark.parametrize("target", [-1, 2, 3, [0], "1", 0.5])
@pytest.mark.parametrize("task", [Effusion(), View()], ids=lambda task: task.name)
def test_a_target_that_is_no_class_is_refused(task: Task, target: Target) -> None:
    if isinstance(task, View) and target == 2:
        target = 7
    with pytest.raises(ValueError, match=f"from 0 to {len(task.classes) - 1}"):
        task.outcome_targets(target)


@pytest.mark.parametrize("target", [1, [0, 1], [0, 1, 1, 0], [0, 1, 2], [0, 1, -1], ["0", "1", "1"]])
def test_labels_that_are_none_are_refused(target: Target) -> None:
    with pytest.raises(ValueError, match="label"):
        Signs().outcome_targets(target)


def test_answers_are_plain_numbers() -> None:
    for task, target in ((Effusion(), True), (Signs(), [True, False, None]), (Score(), 2)):
        assert all(type(answer) is int for answer in task.outcome_targets(target))


def test_the_question_is_the_first_line_of_the_docstring() -> None:
    assert Effusion().question == "Pleural effusion, one answer a clip."

    class Silent(Effusion):
        name = "silent"

    Silent.__doc__ = None
    assert Silent().question == "silent"


def test_custom_pooling_asks_for_a_method() -> None:
    with pytest.raises(NotImplementedError, match="task 'effusion'"):
        Effusion().pool(np.zeros((2, 3), np.float32), np.zeros(2))
