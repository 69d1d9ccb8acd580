"""The progress bar of all commands."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import ParamSpec

from lusfx.cli import output

LOG_S = 60.0
"""Between two lines of a log."""

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


class Log:
    """Lines of a log: none of a short work, and one a minute of a long one."""

    def __init__(self) -> None:
        self.stage = ""
        self.stage_began = self.last = time.monotonic()

    def say(self, text: str) -> None:
        """Say a sentence, unless something was said within the last minute."""
        if time.monotonic() - self.last >= LOG_S:
            self.last = time.monotonic()
            output.say(text, err=True)

    def show(self, now: Stand) -> None:
        """Say how far a command is."""
        if now.stage != self.stage:
            self.stage, self.stage_began = now.stage, time.monotonic()
        left_s = now.seconds_left
        if left_s is None and 0 < now.done <= now.of:
            left_s = (time.monotonic() - self.stage_began) * (now.of - now.done) / now.done
        left = "" if left_s is None else f", about {timedelta(seconds=round(left_s))} left"
        self.say(f"{now.stage}: {now.done} of {now.of} {now.said}{left}")


@contextmanager
def bar(stand: Callable[ProgressArgs, Stand], is_wanted: bool = True) -> Iterator[Callable[ProgressArgs, None] | None]:
    """A bar on a terminal, and in a pipe or a log a line about once a minute; nothing where none is wanted.

    :param stand: what the run's report of its progress means.
    """
    if not is_wanted or sys.stderr is None:
        yield None
        return
    if not sys.stderr.isatty():
        log = Log()
        yield lambda *progress, **named: log.show(stand(*progress, **named))
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
