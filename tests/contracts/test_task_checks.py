"""A task with a slip in it is refused, with the attribute's name and what it must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lusfx.contracts import (
    Abstention,
    Gate,
    LongestRun,
    MinSensitivity,
    MinSpecificity,
    Target,
    Task,
    Youden,
    ZoneSummary,
    check_task,
    gate_circle,
)
from lusfx.errors import PluginError

THREE = ("none", "some", "much")
ZONES = ZoneSummary(("L1", "R1"))


def made(**attributes: object) -> Task:
    """A sound binary task, but for the given attributes."""
    sound = {"__doc__": "Is it there?", "name": "there", "label_columns": ("there",)}
    return type("Made", (Task,), sound | attributes)()


def pool(self: Task, embeddings: Any, times_s: Any) -> Any:
    return embeddings.mean(axis=0)


def target(self: Task, cells: Mapping[str, str]) -> Target:
    return None


def raising(self: Task) -> object:
    raise RuntimeError("boom")


SOUND: dict[str, dict[str, Any]] = {
    "as little as can be": {},
    "multi-class": {"kind": "multi-class", "classes": THREE},
    "ordinal": {"kind": "ordinal", "classes": THREE, "exam_summary": ZONES},
    "multi-label": {"kind": "multi-label", "classes": ("one", "two"), "label_columns": ("a", "b")},
    "one label": {"kind": "multi-label", "classes": ("one",)},
    "several columns": {"label_columns": ("a", "b"), "target": target},
    "frame": {"unit": "frame"},
    "exam": {"unit": "exam", "pooling": "attention"},
    "custom pooling": {"pooling": "custom", "pool": pool},
    "aggregated": {"aggregate": LongestRun(), "frames_per_clip": 1},
    "gate on a task that is nowhere": {"requires": Gate(task="view", is_="pleural")},
    "nothing but blank is not known": {"not_known": ()},
    "all of it": {
        "version": 7,
        "abstain": Abstention(min_beam_confidence=0.5, min_frames=5, familiar=0.95),
        "exam_summary": ZONES,
        "operating_points": {"Rule-in_0.9": MinSpecificity(0.9), "2": MinSensitivity(1.0), "y": Youden()},
    },
    "static label": {"label": staticmethod(int)},
}


@pytest.mark.parametrize("attributes", SOUND.values(), ids=SOUND)
def test_sound_tasks_pass(attributes: dict[str, Any]) -> None:
    check_task(made(**attributes))


SLIPS: dict[str, tuple[dict[str, Any], str]] = {
    "name missing": ({"name": None}, "'name' must be lower-case"),
    "name with a blank": ({"name": "No Spaces"}, "'name' must be lower-case"),
    "name of hyphens": ({"name": "-"}, "'name' must be lower-case"),
    "name not ASCII": ({"name": "größe"}, "'name' must be lower-case"),
    "name too long": ({"name": "a" * 101}, "at most 100"),
    "version 0": ({"version": 0}, "'version' must be a whole number from 1"),
    "version text": ({"version": "1"}, "'version' must be"),
    "version bool": ({"version": True}, "'version' must be"),
    "unit": ({"unit": "patient"}, "'unit' must be 'frame', 'clip' or 'exam'"),
    "kind": ({"kind": "regression"}, "'kind' must be 'binary', 'multi-class', 'multi-label' or 'ordinal'"),
    "classes text": ({"classes": "yes"}, "a comma is missing: classes = ('yes',)"),
    "classes list": ({"classes": ["no", "yes"]}, "'classes' must be a tuple of strings"),
    "classes numbers": ({"classes": (0, 1)}, "'classes' must be a tuple of strings"),
    "classes blank": ({"classes": ("no", " ")}, "none blank"),
    "classes with blanks around": ({"classes": ("no", "yes ")}, "blanks around"),
    "classes equal": ({"classes": ("yes", "yes")}, "'classes' must be a tuple of different strings"),
    "classes too long": ({"classes": ("no", "y" * 1001)}, "at most 1000"),
    "binary of three": ({"classes": THREE}, "'classes' must be a tuple of two"),
    "binary of one": ({"classes": ("yes",)}, "'classes' must be a tuple of at least 2"),
    "multi-class of two": ({"kind": "multi-class"}, "'classes' must be a tuple of at least 3"),
    "ordinal of two": ({"kind": "ordinal"}, "'classes' must be a tuple of at least 3"),
    "multi-label of none": ({"kind": "multi-label", "classes": ()}, "'classes' must be a tuple of at least 1"),
    "columns missing": ({"label_columns": None}, "'label_columns' must be a tuple of strings"),
    "columns text": ({"label_columns": "b_lines"}, "a comma is missing: label_columns = ('b_lines',)"),
    "columns none": ({"label_columns": ()}, "'label_columns' must be a tuple of at least 1"),
    "columns nobody reads": ({"label_columns": ("a", "b")}, "'target' must be a method that reads several"),
    "a column a label": (
        {"kind": "multi-label", "classes": ("one", "two")},
        "'label_columns' must be one column a class",
    ),
    "not_known text": ({"not_known": "unclear"}, "a comma is missing: not_known = ('unclear',)"),
    "not_known capital": ({"not_known": ("Unclear",)}, "'not_known' must be a tuple of lower-case strings"),
    "not_known blank": ({"not_known": ("",)}, "'not_known' must be a tuple of strings"),
    "pooling": (
        {"pooling": "median"},
        "'pooling' must be 'mean', 'max', 'mean+max', 'mean+std', 'mean+change', 'mean+max+change', 'attention' or 'custom'",
    ),
    "custom without pool": ({"pooling": "custom"}, "'pool' must be a method where 'pooling' is 'custom'"),
    "pool without custom": ({"pool": pool}, "'pooling' must be 'custom' where there is a method 'pool'"),
    "aggregate class": ({"aggregate": LongestRun}, "'aggregate' must be None or an instance"),
    "aggregate name": ({"aggregate": "mean"}, "'aggregate' must be None or an instance"),
    "aggregate of frames": ({"unit": "frame", "aggregate": LongestRun()}, "'aggregate' must be None"),
    "aggregate of exams": ({"unit": "exam", "aggregate": LongestRun()}, "'aggregate' must be None unless"),
    "aggregate and pooling": ({"aggregate": LongestRun(), "pooling": "max"}, "'pooling' must be left out"),
    "pooling of frames": ({"unit": "frame", "pooling": "max"}, "'pooling' must be left out where 'unit' is 'frame'"),
    "no frames": ({"frames_per_clip": 0}, "'frames_per_clip' must be a whole number from 1"),
    "half a frame": ({"frames_per_clip": 0.5}, "'frames_per_clip' must be"),
    "gate text": ({"requires": "view"}, "'requires' must be None or a Gate"),
    "gate of itself": ({"requires": Gate(task="there", is_="yes")}, "'requires' must be a Gate of another task"),
    "gate of a class": ({"requires": Gate(task=Task, is_="yes")}, "'task' is the name of a task"),
    "gate of no class": ({"requires": Gate(task="view", is_="")}, "'is_' is a class of that task"),
    "abstain None": ({"abstain": None}, "'abstain' must be an Abstention"),
    "abstain class": ({"abstain": Abstention}, "'abstain' must be an Abstention"),
    "summary tuple": ({"exam_summary": ("L1",)}, "'exam_summary' must be None or a ZoneSummary"),
    "summary of letters": ({"exam_summary": ZoneSummary("L1")}, "a ZoneSummary of a tuple of strings"),
    "summary of exams": ({"unit": "exam", "exam_summary": ZONES}, "'exam_summary' must be None unless 'unit'"),
    "summary of classes": (
        {"kind": "multi-class", "classes": THREE, "exam_summary": ZONES},
        "'exam_summary' must be None unless 'kind'",
    ),
    "no points": ({"operating_points": {}}, "'operating_points' must be a mapping with at least one rule"),
    "points list": ({"operating_points": [Youden()]}, "'operating_points' must be a mapping"),
    "point named with a slash": ({"operating_points": {"a/b": Youden()}}, "'operating_points' must be named by"),
    "point named by a number": ({"operating_points": {1: Youden()}}, "'operating_points' must be named by"),
    "point's name with a line end": ({"operating_points": {"a\n": Youden()}}, "'operating_points' must be named by"),
    "point class": ({"operating_points": {"cut": Youden}}, "'operating_points' must be rules, which 'cut' is not"),
    "point number": ({"operating_points": {"cut": 0.5}}, "which 'cut' is not"),
    "label of nothing": ({"label": lambda self: 0}, "'label' must be a method of cell alone"),
    "label of two": ({"label": lambda self, cell, row: 0}, "'label' must be a method of cell alone"),
    "label no method": ({"label": 3}, "'label' must be a method"),
    "target of nothing": ({"target": lambda self: 0}, "'target' must be a method of cells alone"),
    "pool of one": (
        {"pooling": "custom", "pool": lambda self, embeddings: embeddings},
        "'pool' must be a method of embeddings and times_s alone",
    ),
    "no question": ({"__doc__": None}, "'docstring' must be there"),
    "blank question": ({"__doc__": "  \n "}, "'docstring' must be there"),
    "long question": ({"__doc__": "why? " * 250}, "'question' must be 1 to 1000 characters"),
    "outcomes of its own": ({"outcomes": ("a", "b")}, "'outcomes' must be a tuple of 1 for these classes"),
    "property that raises": ({"classes": property(raising)}, "reading 'classes' raises RuntimeError: boom"),
    "question that raises": ({"question": property(raising)}, "reading 'question' raises RuntimeError: boom"),
}


@pytest.mark.parametrize(("attributes", "message"), SLIPS.values(), ids=SLIPS)
def test_a_slip_is_told_of_by_name(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError) as caught:
        check_task(made(**attributes))
    assert message in str(caught.value)
    named = attributes.get("name", "there")
    assert str(caught.value).startswith(f"task '{named}': " if isinstance(named, str) else "task Made: ")


@pytest.mark.parametrize(
    ("gates", "circle"),
    [
        ({}, ()),
        ({"a": "b", "b": "c"}, ()),
        ({"a": "elsewhere"}, ()),
        ({"a": "b", "b": "a"}, ("a", "b")),
        ({"a": "b", "b": "c", "c": "d", "d": "b"}, ("b", "c", "d")),
    ],
)
def test_circles_of_gates_are_found(gates: dict[str, str], circle: tuple[str, ...]) -> None:
    tasks = [made(name=name, requires=Gate(task=gate, is_="yes")) for name, gate in gates.items()]
    assert gate_circle([*tasks, made(name="c0")]) == circle
