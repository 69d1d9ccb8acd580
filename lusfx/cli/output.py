"""Standard output is the program's own: what a command says goes there, and what anything else writes to the error stream.

Plugins print, and so do libraries, in Python and in C: while they load, while they work and when the interpreter ends. A
program that reads a command's JSON must find nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

import click

from lusfx.cli.repeated_options import refuse_repeated_options
from lusfx.errors import LusfxError
from lusfx.messages import one_line, system_reason

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2
"""Descriptors."""

_OWN: list[TextIO] = []
"""Where commands speak while ``sys.stdout`` is the error stream; the last one counts."""


def say(text: str = "", *, err: bool = False) -> None:
    """Print lines on standard output, or on the error stream. What would act on a terminal is shown and does not act.

    :raises LusfxError: if the disk behind it is full, say; a pipe that nobody reads any more ends the program quietly.
    """
    shown = "\n".join(map(one_line, text.split("\n")))
    try:
        click.echo(shown, file=None if err or not _OWN else _OWN[-1], err=err)
    except OSError as error:
        if err or error.errno == errno.EPIPE:
            raise  # click ends the program
        raise LusfxError(f"standard output cannot be written: {system_reason(error)}") from None


class CommandContext(click.Context):
    """Runs a command with ``sys.stdout`` as the error stream."""

    def invoke(self, callback: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """See :meth:`click.Context.invoke`."""
        # Imported by its name, as the commands are: what it needs is heavy, and --help needs none of it.
        new_key = importlib.import_module("lusfx.cli.new_key")
        with _alone(), new_key.told_of():
            return super().invoke(callback, *args, **kwargs)


def with_own_output(command: click.Command) -> click.Command:
    """The command, whose output nothing else mixes with, and which drops no option; so too of a group's commands."""
    command.context_class = CommandContext
    refuse_repeated_options(command)
    for inner in getattr(command, "commands", {}).values():
        with_own_output(inner)
    return command


@contextmanager
def own_descriptor() -> Iterator[None]:
    """Until the program ends, ``sys.stdout`` writes to where descriptor 1 leads now, and descriptor 1 is the error stream."""
    stream = _taken_over()
    if stream is None:
        yield
        return
    sys.stdout = stream
    try:
        yield
    finally:
        sys.stdout = sys.__stdout__  # what is printed from here on is no part of the output
        with contextlib.suppress(OSError):  # each line was flushed, so nobody misses what is left
            stream.close()


@contextmanager
def _alone() -> Iterator[None]:
    # Where there is no standard output, nobody is to hear of it on the error stream.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        _OWN.append(_OWN[-1] if _OWN else sys.stdout or nowhere)
        try:
            with redirect_stdout(sys.stderr):
                yield
        finally:
            _OWN.pop()


def _taken_over() -> TextIO | None:
    """A stream to where descriptor 1 leads; None where standard output is something else, in a test or a notebook say."""
    try:
        if sys.stdout is not None and sys.stdout.fileno() != STANDARD_OUTPUT:
            return None
    except (OSError, ValueError):  # it is no file
        return None
    stray = STANDARD_ERROR if _is_open(STANDARD_ERROR) else os.open(os.devnull, os.O_WRONLY)
    if sys.stdout is None:
        if not _is_open(STANDARD_OUTPUT):  # the next file that is opened would have this number
            os.dup2(stray, STANDARD_OUTPUT)
        return None
    sys.stdout.flush()
    stream = os.fdopen(os.dup(STANDARD_OUTPUT), "w", encoding=sys.stdout.encoding, errors="backslashreplace")
    os.dup2(stray, STANDARD_OUTPUT)
    return stream


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
