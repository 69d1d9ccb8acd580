"""Starter models: task models that lusfx brings along, for a first look without labels. They learnt from simulated exams."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from lusfx.arguments import STARTER, paths, several
from lusfx.errors import UsageError
from lusfx.task_model.directory import models_below

STARTERS = Path(__file__).parent / "starters"
"""What ``tools/make_starter_models.py`` wrote: a directory a model."""


def starter_names() -> list[str]:
    """How the starter models are named where a task model is asked for: ``starter/NAME``."""
    return [f"{STARTER}{place.name}" for place in models_below(STARTERS)]


def model_place(given: Path | str) -> Path:
    """Where a task model lies.

    :param given: text that begins with ``starter/`` is a starter model's name. Other text is a path, and so is every ``Path``.
    :raises UsageError: if there is no such starter model; or if something in the working directory has its name, too: then
        nobody knows which one is meant.
    """
    if not isinstance(given, str) or not f"{given}/".startswith(STARTER):
        return Path(given)
    if given in (STARTER, STARTER.rstrip("/")):
        if os.path.lexists(given):
            return Path(given)
        raise UsageError(f"'{STARTER}' begins the name of a starter model; there are: {_known()}")
    if os.path.lexists(given):
        raise UsageError(
            f"'{STARTER}...' names a model that lusfx brings along, and here is a file or folder of the same name. For "
            f"that one write './{STARTER}...'"
        )
    if given not in starter_names():
        raise UsageError(f"there is no starter model of this name; there are: {_known()}")
    return STARTERS / given.removeprefix(STARTER)


def model_places(what: str, given: Path | str | Iterable[Path | str]) -> list[Path]:
    """Where task models lie, of which one or many are named.

    :param what: the argument's name, for messages.
    :raises UsageError: as :func:`model_place` does, and if something else was given.
    """
    listed = several(what, given, os.PathLike)
    paths(what, listed)  # which refuses what is neither text nor a path
    return [model_place(item) for item in listed]


def _known() -> str:
    return ", ".join(starter_names()) or "none"
