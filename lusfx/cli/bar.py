"""The progress bar of all commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import ParamSpec

ProgressArgs = ParamSpec("ProgressArgs")
"""What a run reports its progress with."""


@dataclass(frozen=True, slots=True)
class Stand:
    """How far a command is.

    :param stage: what it is doing; time is counted from its beginning.
    :param said: shown behind the numbers.
    :param seconds_left: by those who know better than the pace so far tells.
    """

    stage: str
    done: int
    of: int
    said: str = ""
    seconds_left: float | None = None


@contextmanager
def bar(stand: Callable[ProgressArgs, Stand], is_wanted: bool = True) -> Iterator[Callable[ProgressArgs, None] | None]:
    """A bar on a terminal; nothing in a pipe, or where none is wanted.

    :param stand: what the run's report of its progress means.
    """
    if not is_wanted or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        shown.add_task("", total=None, said="", left="")
        (task,) = shown.tasks

        def show(*progress: ProgressArgs.args, **named: ProgressArgs.kwargs) -> None:
            now = stand(*progress, **named)
            # Another stage, or the same of something else.
            if now.stage != task.description or now.done < task.completed:
                shown.reset(task.id, description=now.stage)
            shown.update(task.id, total=now.of, completed=now.done, said=now.said)
            left_s = task.time_remaining if now.seconds_left is None else now.seconds_left
            shown.update(task.id, left="" if left_s is None else f"{timedelta(seconds=round(left_s))} left")

        yield show
