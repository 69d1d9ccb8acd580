"""Checks of what plugins register, made before anything relies on it: an attribute of the wrong kind is told of by name."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from lusfx.contracts.aggregation import Aggregation
from lusfx.contracts.encoder import EncoderSpec
from lusfx.contracts.head import HeadSettings, HeadSpec
from lusfx.contracts.reader import Reader
from lusfx.contracts.rules import Abstention, Gate, OperatingPoint, ZoneSummary
from lusfx.contracts.task import Kind, Pooling, Task, Unit
from lusfx.errors import PluginError

TASK_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MAX_NAME = 100
MAX_WORDS = 1000
"""Longest text that a task model keeps of a task."""
POINT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Operating points name columns of score tables."""
FEWEST_CLASSES = {"binary": 2, "multi-class": 3, "ordinal": 3, "multi-label": 1}


class _Attributes:
    """Reads attributes of something that a plugin gave, and says what is wrong with them.

    :param whose: how messages name it.
    """

    def __init__(self, item: object, whose: str) -> None:
        self._item = item
        self._whose = whose

    def __getitem__(self, name: str) -> Any:
        """The attribute; None where there is none."""
        try:
            return getattr(self._item, name, None)
        except Exception as error:
            raise PluginError(f"{self._whose}: reading '{name}' raises {type(error).__name__}: {error}") from None

    def require(self, holds: bool, attribute: str, must: str) -> None:
        if not holds:
            raise PluginError(f"{self._whose}: '{attribute}' must be {must}")

    def strings(self, name: str, *, at_least: int = 1) -> tuple[str, ...]:
        """A tuple of different strings. One string in its place is a forgotten comma: its letters would count as items."""
        value = self[name]
        if isinstance(value, str):
            raise PluginError(f"{self._whose}: '{name}' must be a tuple; a comma is missing: {name} = ({value!r},)")
        sound = isinstance(value, tuple) and all(isinstance(item, str) and item.strip() == item != "" for item in value)
        self.require(sound, name, "a tuple of strings, none blank or with blanks around it")
        self.require(len(set(value)) == len(value), name, "a tuple of different strings")
        self.require(all(len(item) <= MAX_WORDS for item in value), name, f"a tuple of strings of at most {MAX_WORDS}")
        self.require(len(value) >= at_least, name, f"a tuple of at least {at_least}")
        strings: tuple[str, ...] = value
        return strings

    def takes(self, name: str, *parameters: str) -> None:
        """A method that can be called with these parameters by position."""
        method = self[name]
        self.require(callable(method), name, "a method")
        self.require(_can_be_called(method, len(parameters)), name, f"a method of {' and '.join(parameters)} alone")


def check_task(task: Task) -> None:
    """Check all of a task's attributes.

    A gate may name a task that no plugin here provides; the plugin that does may be installed elsewhere.

    :raises PluginError: naming the task, the attribute and what it must be.
    """
    name = getattr(type(task), "name", None)
    of = _Attributes(task, f"task '{name}'" if isinstance(name, str) else f"task {type(task).__name__}")
    of.require(_is_task_name(of["name"]), "name", f"lower-case letters, digits and hyphens, at most {MAX_NAME}")
    of.require(_is_count(of["version"]), "version", "a whole number from 1")
    of.require(of["unit"] in get_args(Unit), "unit", _one_of(Unit))
    of.require(of["kind"] in get_args(Kind), "kind", _one_of(Kind))
    _check_answers(of)
    _check_labels(of, task)
    _check_pooling(of, task)
    _check_gate(of)
    _check_summary(of)
    _check_points(of)
    of.require(isinstance(of["abstain"], Abstention), "abstain", "an Abstention, Abstention(min_frames=5) say")
    # python -OO strips docstrings: the question is then the name.
    stated = type(task).__doc__ or ""
    of.require(sys.flags.optimize >= 2 or stated.strip() != "", "docstring", "there: its first line is the question")
    question = of["question"]
    of.require(isinstance(question, str) and 0 < len(question) <= MAX_WORDS, "question", f"1 to {MAX_WORDS} characters")


def _check_answers(of: _Attributes) -> None:
    kind = of["kind"]
    classes = of.strings("classes", at_least=FEWEST_CLASSES[kind])
    if kind == "binary":
        of.require(len(classes) == 2, "classes", "a tuple of two: of a binary task the second is yes")
    n_outcomes = {"binary": 1, "ordinal": len(classes) - 1}.get(kind, len(classes))
    of.require(len(of.strings("outcomes")) == n_outcomes, "outcomes", f"a tuple of {n_outcomes} for these classes")


def _check_labels(of: _Attributes, task: Task) -> None:
    columns = of.strings("label_columns")
    if of["kind"] == "multi-label":
        of.require(len(columns) == len(of["classes"]), "label_columns", "one column a class, in the same order")
    elif type(task).target is Task.target:
        of.require(len(columns) == 1, "label_columns", "one column, or 'target' must be a method that reads several")
    not_known = of.strings("not_known", at_least=0)
    of.require(all(text == text.casefold() for text in not_known), "not_known", "a tuple of lower-case strings")
    of.takes("label", "cell")
    of.takes("target", "cells")


def _check_pooling(of: _Attributes, task: Task) -> None:
    pooling, aggregate, unit = of["pooling"], of["aggregate"], of["unit"]
    of.require(pooling in get_args(Pooling), "pooling", _one_of(Pooling))
    overridden = type(task).pool is not Task.pool
    of.require(overridden or pooling != "custom", "pool", "a method where 'pooling' is 'custom'")
    of.require(not overridden or pooling == "custom", "pooling", "'custom' where there is a method 'pool'")
    of.takes("pool", "embeddings", "times_s")
    of.require(
        aggregate is None or isinstance(aggregate, Aggregation),
        "aggregate",
        "None or an instance of an Aggregation, LongestRun() say",
    )
    if unit == "frame":
        of.require(aggregate is None, "aggregate", "None where 'unit' is 'frame': each frame has its own answer")
        of.require(pooling == Task.pooling, "pooling", "left out where 'unit' is 'frame': no frames are pooled")
    if aggregate is not None:
        of.require(unit == "clip", "aggregate", "None unless 'unit' is 'clip'")
        of.require(pooling == Task.pooling, "pooling", "left out where 'aggregate' is set: no frames are pooled then")
    of.require(_is_count(of["frames_per_clip"]), "frames_per_clip", "a whole number from 1")


def _check_gate(of: _Attributes) -> None:
    gate = of["requires"]
    if gate is None:
        return
    of.require(isinstance(gate, Gate), "requires", 'None or a Gate, Gate(task="view", is_="pleural") say')
    of.require(_is_task_name(gate.task), "requires", "a Gate whose 'task' is the name of a task")
    of.require(gate.task != of["name"], "requires", "a Gate of another task")
    of.require(isinstance(gate.is_, str) and gate.is_ != "", "requires", "a Gate whose 'is_' is a class of that task")


def _check_summary(of: _Attributes) -> None:
    summary = of["exam_summary"]
    if summary is None:
        return
    of.require(isinstance(summary, ZoneSummary), "exam_summary", "None or a ZoneSummary")
    zones = summary.zones
    of.require(
        isinstance(zones, tuple) and all(isinstance(zone, str) for zone in zones),
        "exam_summary",
        "a ZoneSummary of a tuple of strings",
    )
    of.require(
        of["unit"] == "clip", "exam_summary", "None unless 'unit' is 'clip': an exam's zones are those of its clips"
    )
    of.require(of["kind"] in ("binary", "ordinal"), "exam_summary", "None unless 'kind' is 'binary' or 'ordinal'")


def _check_points(of: _Attributes) -> None:
    points = of["operating_points"]
    of.require(isinstance(points, Mapping) and len(points) > 0, "operating_points", "a mapping with at least one rule")
    for name, rule in points.items():
        of.require(
            isinstance(name, str) and POINT_NAME.fullmatch(name) is not None,
            "operating_points",
            "named by letters, digits, '.', '_' and '-', the first a letter or digit, at most 100",
        )
        of.require(
            isinstance(rule, OperatingPoint),
            "operating_points",
            f"rules, which '{name}' is not: Youden(), MinSensitivity(x) or MinSpecificity(x)",
        )


def gate_circle(tasks: Iterable[Task]) -> tuple[str, ...]:
    """Names of tasks that require each other in a circle, so that none can ever be answered; empty where none do.

    :param tasks: sound by themselves (:func:`check_task`); gates of tasks that are not among them lead nowhere.
    """
    gates = {task.name: task.requires.task for task in tasks if task.requires is not None}
    for first in gates:
        path = [first]
        while (following := gates.get(path[-1])) is not None:
            if following in path:
                return tuple(path[path.index(following) :])
            path.append(following)
    return ()


def check_encoder(spec: EncoderSpec) -> None:
    """Check a registered encoder, not opened.

    :raises PluginError: naming the attribute and what it must be.
    """
    of = _Attributes(spec, f"encoder '{spec.name}'")
    for name in ("name", "summary", "licence"):
        of.require(isinstance(of[name], str), name, "a string")
    of.require(spec.name.strip() == spec.name != "", "name", "there, without blanks around it")
    of.require(
        "/" not in spec.name or not spec.family, "name", "without a slash, which divides a family from its members"
    )
    of.takes("open", "request")


def check_head(spec: HeadSpec) -> None:
    """Check a registered kind of head.

    :raises PluginError: naming the attribute and what it must be.
    """
    of = _Attributes(spec, f"head {type(spec).__name__}")
    of.require(isinstance(of["name"], str) and of["name"].strip() == of["name"] != "", "name", "a string, not blank")
    of.require(isinstance(of["summary"], str), "summary", "a string")
    settings = of["settings"]
    of.require(
        isinstance(settings, type) and issubclass(settings, HeadSettings), "settings", "a subclass of HeadSettings"
    )
    try:
        settings()
    except Exception as error:
        raise PluginError(
            f"head '{spec.name}': 'settings' must have a default for each; {type(error).__name__} without"
        ) from None
    of.require(of["takes"] in ("vectors", "bags"), "takes", "'vectors' or 'bags'")


def check_reader(reader: Reader) -> None:
    """Check a registered reader.

    :raises PluginError: naming the attribute and what it must be.
    """
    of = _Attributes(reader, f"reader {type(reader).__name__}")
    of.require(isinstance(of["name"], str) and of["name"] != "", "name", "a string, not blank")
    suffixes = of.strings("suffixes")
    of.require(
        all(suffix.startswith(".") and suffix == suffix.lower() for suffix in suffixes),
        "suffixes",
        "lower-case file name endings with their dot",
    )


def _is_task_name(name: object) -> bool:
    return isinstance(name, str) and len(name) <= MAX_NAME and TASK_NAME.fullmatch(name) is not None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _one_of(literal: Any) -> str:
    *others, last = (repr(value) for value in get_args(literal))
    return f"{', '.join(others)} or {last}"


def _can_be_called(method: Callable[..., Any], n_parameters: int) -> bool:
    try:
        inspect.signature(method).bind(*range(n_parameters))
    except TypeError:
        return False
    except ValueError:  # compiled, and says nothing of its parameters
        return True
    return True
