"""Write a task plugin: a whole distribution, with the task, its tests and its texts, ready to be changed."""

from __future__ import annotations

import builtins
import importlib.metadata
import keyword
import os
import re
import secrets
import shlex
import shutil
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lusfx.contracts import API_VERSION, Kind, Task, Unit, check_task
from lusfx.errors import LusfxError, PluginError, UsageError
from lusfx.messages import an, system_reason
from lusfx.patience import replace
from lusfx.plugins import load_registry
from lusfx.version import __version__

TEMPLATES = Path(__file__).parent / "plugin_template"
LINE_LENGTH = 120
"""Of the code that is written; its own ruff configuration says the same."""

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MAX_NAME = 40
MAX_WORDS = 60
NOT_IN_WORDS = frozenset("\"'\\`|<>{}")
"""Classes and columns are written into Python, TOML and Markdown, where these end or begin something."""

IMPORTED = frozenset({"MinSensitivity", "MinSpecificity", "Sequence", "Task", "TaskConformance", "Youden"})
ANSWER_UNITS = {"frame": "a frame", "clip": "a clip", "exam": "an exam"}
KIND_MEANS = {
    "binary": "one of two classes; the score is the probability of the second",
    "multi-class": "one of several classes",
    "multi-label": "each label is present or not, whatever the others are",
    "ordinal": "one of several classes in rising order",
}


@dataclass(frozen=True, slots=True)
class NewPlugin:
    """A plugin that was written.

    :param path: its folder.
    :param files: what was written there, relative to it.
    :param warnings: what will be in the way of its task.
    """

    path: Path
    task: str
    files: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def next_commands(self) -> tuple[str, ...]:
        """Install it, test it, train it."""
        folder = shlex.quote(str(self.path))
        return (
            f"pip install --editable {folder} pytest",
            f"pytest {folder}",
            f"lusfx train-task {self.task} --labels LABELS.csv --cache CACHE --out models/{self.task}",
        )

    def as_dict(self) -> dict[str, Any]:
        """For programs: what ``lusfx new-plugin --json`` prints."""
        return {
            "path": str(self.path),
            "task": self.task,
            "files": list(self.files),
            "warnings": list(self.warnings),
            "next": list(self.next_commands),
        }


def new_plugin(
    name: str,
    out: Path | str = ".",
    *,
    kind: Kind = "binary",
    unit: Unit = "clip",
    columns: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> NewPlugin:
    """Write the distribution ``lusfx-NAME`` with one task, whole or not at all.

    :param name: the task's name: lower-case letters, digits and hyphens.
    :param out: folder that it is written into, made if need be; nothing in there is changed.
    :param kind: of the task.
    :param unit: what gets one answer.
    :param columns: of the label table; by default the name with underscores, or for labels a column of each one's name.
    :param classes: their names; only those of a binary task have a default, no and yes.
    :raises UsageError: if the folder is there already, or no task could be made of this.
    :raises LusfxError: if it cannot be written.
    """
    if len(name) > MAX_NAME or not NAME.fullmatch(name):
        raise UsageError(f"a task's name is of lower-case letters, digits and hyphens, at most {MAX_NAME}")
    answers = _classes(kind, classes)
    read = _columns(name, kind, answers, columns)
    contents = _contents(name, kind, unit, answers, read)
    target = Path(out) / f"lusfx-{name}"
    _write(target, contents)
    return NewPlugin(target, name, tuple(sorted(contents)), tuple(_collisions(name)))


def _classes(kind: Kind, classes: Sequence[str]) -> tuple[str, ...]:
    if not classes and kind != "binary":
        raise UsageError(f"{an(kind)} task needs the names of its classes, in order: --class NAME for each")
    if kind == "multi-class" and {name.casefold() for name in classes} & set(Task.not_known):
        raise UsageError(f"a cell that says '{Task.not_known[0]}' is not known: no class can have that name")
    return _words("class", classes) or Task.classes


def _columns(name: str, kind: Kind, classes: tuple[str, ...], columns: Sequence[str]) -> tuple[str, ...]:
    if not columns and kind == "multi-label":
        columns = [re.sub(r"\W+", "_", label).strip("_").lower() for label in classes]
    if kind != "multi-label" and len(columns) > 1:
        raise UsageError(
            f"{an(kind)} task reads one column, unless it has a method 'target' of its own: give one --column, and write it"
        )
    return _words("column", columns) or (name.replace("-", "_"),)


def _words(what: str, words: Sequence[str]) -> tuple[str, ...]:
    for word in words:
        if not word.isprintable() or word.strip() != word or not 0 < len(word) <= MAX_WORDS or set(word) & NOT_IN_WORDS:
            raise UsageError(
                f"the name of a {what} has 1 to {MAX_WORDS} characters, no blanks around it, and none of "
                f"{' '.join(sorted(NOT_IN_WORDS))}"
            )
    return tuple(words)


def _contents(name: str, kind: Kind, unit: Unit, classes: tuple[str, ...], columns: tuple[str, ...]) -> dict[str, str]:
    """Text of each file, by its path in the distribution."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    words = name.replace("-", " ")
    task = _task(name, kind, unit, classes, columns)
    cells = _cells(task)
    facts = {
        "name": name,
        "words": words,
        "title": words[0].upper() + words[1:],
        "distribution": f"lusfx-{name}",
        "package": f"lusfx_{name.replace('-', '_')}",
        "class_name": _class_name(name),
        "question": task.question,
        "kind": kind,
        "kind_means": KIND_MEANS[kind],
        "unit": unit,
        "answer_unit": ANSWER_UNITS[unit],
        "classes": classes,
        "columns": columns,
        "columns_named": ", ".join(f"`{column}`" for column in columns),
        "cells": cells,
        "reading": textwrap.wrap(_reading(task), LINE_LENGTH - 4),
        "meanings": _meanings(task),
        "nonsense": _nonsense(task),
        "api_version": API_VERSION,
        "lusfx_version": ".".join(__version__.split(".")[:2]),
        "line_length": LINE_LENGTH,
    }
    environment = Environment(  # noqa: S701 - what is written is no HTML
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["laid_out"] = _laid_out
    package = f"src/{facts['package']}"
    files = {
        f"{package}/__init__.py": "plugin.py.j2",
        f"tests/test_{name.replace('-', '_')}.py": "test_plugin.py.j2",
        "pyproject.toml": "pyproject.toml.j2",
        "README.md": "README.md.j2",
        "MODEL_CARD.md": "MODEL_CARD.md.j2",
        ".gitignore": "gitignore.j2",
    }
    contents = {path: environment.get_template(template).render(facts) for path, template in files.items()}
    for path in ("README.md", "MODEL_CARD.md"):
        contents[path] = re.sub(r"\n{3,}", "\n\n", contents[path])
    return contents | {f"{package}/py.typed": ""}


def _task(name: str, kind: Kind, unit: Unit, classes: tuple[str, ...], columns: tuple[str, ...]) -> Task:
    """The task that the written module will have, checked before anything is written."""
    attributes = {"name": name, "kind": kind, "unit": unit, "classes": classes, "label_columns": columns}
    attributes["__doc__"] = _question(name, kind, unit, classes)
    task: Task = type(_class_name(name), (Task,), attributes)()
    try:
        check_task(task)
    except PluginError as error:
        raise UsageError(str(error)) from None
    return task


def _class_name(name: str) -> str:
    """A class's name that is an identifier, and that hides neither what the module imports nor a built-in."""
    camel = "".join(part.capitalize() for part in name.split("-"))
    if camel[0].isdigit():
        return f"Task{camel}"
    taken = camel in IMPORTED or keyword.iskeyword(camel) or hasattr(builtins, camel)
    return f"{camel}Task" if taken else camel


def _question(name: str, kind: Kind, unit: Unit, classes: tuple[str, ...]) -> str:
    words = name.replace("-", " ")
    subject = words[0].upper() + words[1:]
    either = "yes or no" if classes == Task.classes else f"{classes[0]} or {classes[-1]}"
    asked = {
        "binary": f"{subject}: {either}",
        "multi-class": f"{subject}: one of {len(classes)} classes",
        "multi-label": f"{subject}: each label present or not",
        "ordinal": f"{subject}: from {classes[0]} to {classes[-1]}",
    }[kind]
    question = f"{asked}, one answer {ANSWER_UNITS[unit]}."
    return question if len(question) <= LINE_LENGTH - 7 else f"{subject}, one answer {ANSWER_UNITS[unit]}."


def _reading(task: Task) -> str:
    """How the label table is read, in a sentence or two."""
    named = " and ".join(f"``{column}``" for column in task.label_columns)
    if task.kind == "multi-class":
        stated = f"A cell of the column {named} is the name of a class."
    elif task.kind == "ordinal":
        levels = ", ".join(
            name if name == str(level) else f"{level} ({name})" for level, name in enumerate(task.classes)
        )
        stated = f"A cell of the column {named} is a number: {levels}."
    elif task.kind == "multi-label":
        stated = f"A cell of {named} is 1 where the label is present and 0 where it is not."
    else:
        stated = f"A cell of the column {named} is 0 ({task.classes[0]}) or 1 ({task.classes[1]})."
    weak = " The labels of a table are those of clips: weak labels of their frames." if task.unit == "frame" else ""
    return f"{stated} Where it is blank or *indeterminate*, the answer is not known.{weak}"


def _cells(task: Task) -> list[tuple[str, str, str]]:
    """Rows of the README's table: column, cell, meaning."""
    if task.kind == "multi-label":
        return [
            (column, str(value), f"{label}: {meaning}")
            for column, label in zip(task.label_columns, task.classes, strict=True)
            for value, meaning in ((1, "present"), (0, "not present"))
        ]
    (column,) = task.label_columns
    if task.kind == "multi-class":
        return [(column, f"`{name}`", f"class {number}") for number, name in enumerate(task.classes)]
    return [(column, str(number), name) for number, name in enumerate(task.classes)]


def _meanings(task: Task) -> list[tuple[str, int | None]]:
    """Cells and what they mean, for the written tests."""
    if task.kind == "multi-class":
        stated: list[tuple[str, int | None]] = [(name, number) for number, name in enumerate(task.classes)]
    else:
        highest = len(task.classes) - 1 if task.kind == "ordinal" else 1
        stated = [*((str(number), number) for number in range(highest + 1)), (f"{highest}.0", highest)]
    return [*stated, ("", None), *((text, None) for text in task.not_known)]


def _nonsense(task: Task) -> list[str]:
    """Cells that mean nothing, for the written tests."""
    if task.kind == "multi-class":
        return [word for word in ("no such class", "???", "-1") if word not in task.classes]
    return [str(len(task.classes) if task.kind == "ordinal" else 2), "-1", "0.5", "nan", "maybe"]


def _laid_out(strings: Sequence[str], variable: str) -> str:
    """``variable = ("a", "b")`` within a class, broken into lines as ruff would."""
    quoted = [f'"{text}"' for text in strings]
    in_one = f"{variable} = ({', '.join(quoted)}{',' if len(quoted) == 1 else ''})"
    if 4 + _columns_taken(in_one) <= LINE_LENGTH:
        return in_one
    return "\n".join([f"{variable} = (", *(f"        {text}," for text in quoted), "    )"])


def _columns_taken(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _write(target: Path, contents: Mapping[str, str]) -> None:
    """Write all files into a folder beside, then give it its name."""
    if os.path.lexists(target):
        raise UsageError(f"'{target.name}' is there already; nothing was written")
    temporary = target.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        for path, text in contents.items():
            file = temporary / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
        replace(temporary, target)
    except OSError as error:
        raise LusfxError(f"'{target.name}' cannot be written: {system_reason(error)}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _collisions(name: str) -> list[str]:
    """What of this environment has the new plugin's names."""
    warnings = []
    try:
        installed = f"lusfx-{name} {importlib.metadata.version(f'lusfx-{name}')}"
    except importlib.metadata.PackageNotFoundError:
        installed = ""
    else:
        warnings.append(f"{installed} is installed; installing this one replaces it")
    tasks = load_registry().tasks
    owners = tasks.clashes.get(name) or ([tasks.owner(name)] if name in tasks.names() else [])
    if others := [owner for owner in owners if owner != installed]:
        warnings.append(
            f"a task '{name}' is provided by {' and '.join(others)}; with both installed, neither can be used"
        )
    return warnings
