"""Outputs: files and directories that are to be written at the end of a work, whose places are made at its beginning."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from lusfx.durable import make_directory
from lusfx.errors import UsageError
from lusfx.messages import system_reason


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


def prepare_files(places: Mapping[str, Path | None], *, force: bool = False) -> None:
    """Make the directories that files go to, and refuse places where no file can be written.

    :param places: by what is to be written there, as messages name it; None where nothing is.
    :param force: whether files that are there may be replaced.
    :raises UsageError: if a directory cannot be made or written to, a place is taken or a directory, or two are one.
    """
    taken: dict[Path, str] = {}
    for what, place in places.items():
        if place is None:
            continue
        prepare_place(what, place)
        if place.is_dir():
            raise UsageError(f"the {what} cannot be written: {os.strerror(errno.EISDIR)}")
        if place.exists() and not place.is_file():
            raise UsageError(f"the {what} cannot be written: its place is taken by something that is no file")
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
    :raises UsageError: if it cannot be made or written to.
    """
    parent = place.absolute().parent
    try:
        make_directory(parent)
        place.lstat()  # its own name may be impossible
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UsageError(f"the {what} cannot be written: {system_reason(error)}") from None
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"the {what} cannot be written: {os.strerror(errno.EACCES)}")
