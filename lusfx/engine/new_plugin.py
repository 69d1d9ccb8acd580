"""Write a plugin: a whole distribution, with a task, a head or a reader, its tests and its texts, ready to be changed."""

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
from typing import Any, Literal

from lusfx.contracts import API_VERSION, Kind, Task, Unit, check_task
from lusfx.errors import LusfxError, PluginError, UsageError
from lusfx.messages import an, system_reason
from lusfx.patience import replace
from lusfx.plugins import Catalogue, load_registry
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
PARTS = {"head": "Head", "reader": "Reader"}
"""What a plugin brings that is no task, and the end of its class's name."""
PluginKind = Kind | Literal["head", "reader"]
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
    :param name: of what it brings.
    :param kind: of its task; or ``head`` or ``reader``.
    :param files: what was written there, relative to it.
    :param warnings: what will be in its way, and what became of a folder that was there.
    """

    path: Path
    name: str
    kind: PluginKind
    files: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def next_commands(self) -> tuple[str, ...]:
        """Install it, test it, use it."""
        folder = shlex.quote(str(self.path))
        training = "--labels LABELS.csv --cache CACHE --out"
        use = {
            "head": f"lusfx train-task TASK --head {self.name} {training} models/{self.name}",
            "reader": "lusfx extract FOLDER --cache CACHE",
        }.get(self.kind, f"lusfx train-task {self.name} {training} models/{self.name}")
        return f"pip install --editable {folder} pytest", f"pytest {folder}", use

    def as_dict(self) -> dict[str, Any]:
        """For programs: what ``lusfx new-plugin --json`` prints."""
        return {
            "path": str(self.path),
            "name": self.name,
            "kind": self.kind,
            "files": list(self.files),
            "warnings": list(self.warnings),
            "next": list(self.next_commands),
        }


def new_plugin(
    name: str,
    out: Path | str = ".",
    *,
    kind: PluginKind = "binary",
    unit: Unit = "clip",
    columns: Sequence[str] = (),
    classes: Sequence[str] = (),
    force: bool = False,
) -> NewPlugin:
    """Write the distribution ``lusfx-NAME`` with one task, head or reader, whole or not at all.

    :param name: of the task, the head or the reader: lower-case letters, digits and hyphens.
    :param out: folder that it is written into, made if need be; nothing else in there is changed.
    :param kind: of the task; or ``head`` or ``reader``, which have no unit, column or class.
    :param unit: what gets one answer.
    :param columns: of the label table; by default the name with underscores, or for labels a column of each one's name.
    :param classes: their names; only those of a binary task have a default, no and yes.
    :param force: whether a folder of that name may be replaced; it is kept beside the new one, its name ending in ``.old-``
        and some digits.
    :raises UsageError: if the folder is there already, or no task could be made of this.
    :raises LusfxError: if it cannot be written.
    """
    if len(name) > MAX_NAME or not NAME.fullmatch(name):
        what = kind if kind in PARTS else "task"
        raise UsageError(f"a {what}'s name is of lower-case letters, digits and hyphens, at most {MAX_NAME}")
    if kind == "head" or kind == "reader":  # noqa: PLR1714 - mypy narrows by this
        if columns or classes or unit != "clip":
            raise UsageError(f"a {kind} has no unit, no columns and no classes: leave out --unit, --column and --class")
        contents = _rendered(name, kind, _facts_of_part(name, kind), with_card=False)
    else:
        answers = _classes(kind, classes)
        facts = _facts_of_task(name, kind, unit, answers, _columns(name, kind, answers, columns))
        contents = _rendered(name, "task", facts, with_card=True)
    target = Path(out) / f"lusfx-{name}"
    kept = _write(target, contents, force)
    warnings = _collisions(name, kind)
    if kept is not None:
        warnings.append(f"the folder that was there is kept beside it as {kept.name}")
    return NewPlugin(target, name, kind, tuple(sorted(contents)), tuple(warnings))


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


def _facts_of_part(name: str, kind: Literal["head", "reader"]) -> dict[str, Any]:
    """What the templates of a head or a reader ask for."""
    camel = "".join(part.capitalize() for part in name.split("-"))
    # No class's name begins with a digit, and with its end it is nothing that the module imports.
    class_name = f"{PARTS[kind] if camel[0].isdigit() else ''}{camel}{PARTS[kind]}"
    return {"class_name": class_name, "suffix": f".{name}"}


def _facts_of_task(
    name: str, kind: Kind, unit: Unit, classes: tuple[str, ...], columns: tuple[str, ...]
) -> dict[str, Any]:
    """What the templates of a task ask for."""
    task = _task(name, kind, unit, classes, columns)
    cells = _cells(task)
    return {
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
    }


def _rendered(name: str, sort: str, of_sort: Mapping[str, Any], *, with_card: bool) -> dict[str, str]:
    """Text of each file, by its path in the distribution.

    :param sort: ``task``, ``head`` or ``reader``.
    :param of_sort: what its own templates ask for.
    :param with_card: whether there is a model card to fill in.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    words = name.replace("-", " ")
    facts = {
        **of_sort,
        "sort": sort,
        "name": name,
        "words": words,
        "title": words[0].upper() + words[1:],
        "distribution": f"lusfx-{name}",
        "package": f"lusfx_{name.replace('-', '_')}",
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
        f"{package}/__init__.py": f"{sort}.py.j2",
        f"tests/test_{name.replace('-', '_')}.py": f"test_{sort}.py.j2",
        "pyproject.toml": "pyproject.toml.j2",
        "README.md": f"README_{sort if sort == 'task' else 'part'}.md.j2",
        ".gitignore": "gitignore.j2",
        **({"MODEL_CARD.md": "MODEL_CARD.md.j2"} if with_card else {}),
    }
    contents = {path: environment.get_template(template).render(facts) for path, template in files.items()}
    for path in (path for path in contents if path.endswith(".md")):
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


def _write(target: Path, contents: Mapping[str, str], force: bool) -> Path | None:
    """Write all files into a folder beside, then give it its name.

    :returns: where what was there is kept; None where nothing was.
    """
    taken = os.path.lexists(target)
    if taken and not force:
        raise UsageError(f"'{target.name}' is there already; nothing was written. To write it anew: --force")
    kept = target.with_name(f"{target.name}.old-{secrets.token_hex(4)}") if taken else None
    temporary = target.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        for path, text in contents.items():
            file = temporary / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
        if kept is not None:
            replace(target, kept)
        try:
            replace(temporary, target)
        except BaseException:
            if kept is not None:
                replace(kept, target)
            raise
    except OSError as error:
        raise LusfxError(f"'{target.name}' cannot be written: {system_reason(error)}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return kept


def _collisions(name: str, kind: PluginKind) -> list[str]:
    """What of this environment has the new plugin's names."""
    warnings = []
    try:
        installed = f"lusfx-{name} {importlib.metadata.version(f'lusfx-{name}')}"
    except importlib.metadata.PackageNotFoundError:
        installed = ""
    else:
        warnings.append(f"{installed} is installed; installing this one replaces it")
    registry = load_registry()
    parts: Mapping[str, Catalogue[Any]] = {"head": registry.heads, "reader": registry.readers}
    there = parts.get(kind, registry.tasks)
    known = f".{name}" if kind == "reader" else name
    owners = there.clashes.get(known) or ([there.owner(known)] if known in there.names() else [])
    if others := [owner for owner in owners if owner != installed]:
        what = f"a {there.kind} '{known}'"
        warnings.append(f"{what} is provided by {' and '.join(others)}; with both installed, neither can be used")
    return warnings
