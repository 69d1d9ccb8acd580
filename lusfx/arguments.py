"""Arguments of the public functions: a path is a ``Path`` or text, and where many are taken, one may stand alone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lusfx.errors import UsageError

STARTER = "starter/"
"""Text that begins so, where a task model is named, is the name of one that lusfx brings along, and no path."""


def several(what: str, given: Any, *one: type) -> list[Any]:
    """What was given as a list, be it one or many.

    :param what: the argument's name, for the message.
    :param one: types of which a single one may stand alone; text always may, since nobody means its letters.
    :raises UsageError: if it is neither.
    """
    if isinstance(given, (str, *one)):
        return [given]
    if isinstance(given, Iterable) and not isinstance(given, (bytes, bytearray)):
        return list(given)
    raise UsageError(f"{what}: expected one or several, and not what is a {type(given).__name__}")


def paths(what: str, given: Path | str | Iterable[Path | str]) -> list[Path]:
    """One path or many as a list.

    :raises UsageError: if something else was given.
    """
    listed = several(what, given, os.PathLike)
    for item in listed:
        if not isinstance(item, (str, os.PathLike)):
            raise UsageError(f"{what}: expected paths, and not what is a {type(item).__name__}")
    return [Path(item) for item in listed]


def optional_path(given: Path | str | None) -> Path | None:
    """A path, where one was given."""
    return None if given is None else Path(given)
