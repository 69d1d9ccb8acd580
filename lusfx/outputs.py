"""Outputs: files and directories that are to be written at the end of a work, whose places are made at its beginning."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from lusfx.durable import make_directory
from lusfx.errors import UsageError
from lusfx.messages import system_reason

CARDS = ("task_model.json", "encoder.json")
"""Of directories that one file more or less makes unusable."""


def refuse_taken(what: str, place: Path, force: bool) -> None:
    """Refuse a place where something is already: nothing that is there is replaced in silence.

    :param what: is to be written, as messages name it.
    :param force: whether it may be replaced.
    :raises UsageError: if something is there and may not.
    """
    if not force and os.path.lexists(place):
        raise UsageError(
            f"where the {what} would go there is something already, and nothing was written. Name another place, or replace "
            "what is there: --force"
        )


def prepare_files(places: Mapping[str, Path | None], *, read: Iterable[Path] = (), force: bool = False) -> None:
    """Make the directories that files go to, and refuse places where no file can be written.

    :param places: by what is to be written there, as messages name it; None where nothing is.
    :param read: files that the work reads, which nothing of it may replace.
    :param force: whether other files that are there may be replaced.
    :raises UsageError: if a directory cannot be made or written to, a place is taken, a directory or a file that is read, or
        two are one.
    """
    inputs = list(read)
    taken: dict[Path, str] = {}
    for what, place in places.items():
        if place is None:
            continue
        prepare_place(what, place)
        if place.is_dir():
            raise UsageError(f"the {what} cannot be written: {os.strerror(errno.EISDIR)}")
        if place.exists() and not place.is_file():
            raise UsageError(f"the {what} cannot be written: its place is taken by something that is no file")
        if any(_is_same(place, file) for file in inputs):
            raise UsageError(f"the {what} cannot be written: it would replace a file that is read. Name another file")
        real = Path(os.path.realpath(place))
        if real in taken:
            raise UsageError(
                f"the {what} cannot be written: it would lie where the {taken[real]} does. Name another file"
            )
        refuse_taken(what, place, force)
        taken[real] = what


def prepare_place(what: str, place: Path) -> None:
    """Make the directory above a file or directory that is to be written.

    :param what: is to be written, as messages name it.
    :raises UsageError: if it cannot be made or written to, or lies in a task model or an encoder's directory.
    """
    try:
        parent = place.absolute().parent  # the folder that the program runs in may be gone
        if any(os.path.lexists(above / card) for above in (parent, *parent.parents) for card in CARDS):
            raise UsageError(
                f"the {what} cannot be written: it would lie in a task model or an encoder, which nothing may be added to. "
                "Name another place"
            )
        make_directory(parent)
        with contextlib.suppress(FileNotFoundError):
            place.lstat()  # its own name may be impossible
    except OSError as error:
        raise UsageError(f"the {what} cannot be written: {system_reason(error)}") from None
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"the {what} cannot be written: {os.strerror(errno.EACCES)}")


def _is_same(place: Path, file: Path) -> bool:
    try:
        return place.samefile(file)
    except OSError:  # one of them is not there
        return False
