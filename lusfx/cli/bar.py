"""A progress bar for commands that go through several stages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Stand:
    """How far a command is.

    :param stage: what it is doing.
    :param said: shown behind the numbers.
    """

    stage: str
    done: int
    of: int
    said: str = ""


@contextmanager
def bar(stand: Callable[[Told], Stand], is_wanted: bool = True) -> Iterator[Callable[[Told], None] | None]:
    """A bar on a terminal; nothing in a pipe, or where none is wanted.

    :param stand: what the engine's report of its progress means.
    """
    if not is_wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("begin", total=None, said="")
        stage = ""

        def show(told: Told) -> None:
            nonlocal stage
            now = stand(told)
            if now.stage != stage:
                stage = now.stage
                shown.reset(task, description=stage)
            shown.update(task, total=now.of, completed=now.done, said=now.said)

        yield show
