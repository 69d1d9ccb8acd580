"""``lusfx demo``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lusfx.cli import output, terminal

if TYPE_CHECKING:
    from lusfx.demo import Stage


@click.command(name="demo")
@click.argument("out", type=terminal.DIRECTORY, default="lusfx-demo")
@click.option(
    "--patients",
    type=click.IntRange(24, 10_000),
    default=32,
    show_default=True,
    help="Synthetic patients to train on; half as many are in each of the two test sets.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of everything random.")
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser when it is done.")
@terminal.json_option
def command(out: Path, patients: int, seed: int, opens: bool, as_json: bool) -> None:
    """Do lusfx's main job on synthetic patients, start to finish, and write OUT/demo.html about it.

    Needs no data, no network and no plugin. Two synthetic hospitals are drawn, their clips are encoded once, three task
    models are trained at the one and judged at both, all are asked about an archive in one pass, and the time that one
    encoder saves is measured here. OUT is ./lusfx-demo unless named; what an earlier run left in it is found and not made
    again.

    Exit code: 0 done, 1 or 2 error, 130 stopped; the same command then goes on.
    """
    from lusfx.demo import run_demo

    with terminal.stop_on_signal() as stop, _lines(to_errors=as_json) as (on_stage, progress):
        result = run_demo(out, n_patients=patients, seed=seed, on_stage=on_stage, progress=progress, stop=stop)
    if as_json:
        terminal.print_json(result.as_dict())
    else:
        output.say(f"{result.seconds:.0f} s in all. Everything in it is synthetic. The page: {result.page}")
    if opens:
        click.launch(str(result.page))


@contextmanager
def _lines(to_errors: bool) -> Iterator[tuple[Callable[[Stage], None], Callable[[str], None]]]:
    """A line a stage, and on a terminal what is being done below them.

    :param to_errors: whether the lines go to standard error, so that standard output has nothing but the result.
    """

    def line(stage: Stage) -> str:
        faster = "" if stage.times_faster is None else f" ({stage.times_faster:.0f} times faster than when first made)"
        return f"{stage.name:<20} {stage.seconds:6.1f} s  {stage.said}{faster}"

    if not sys.stderr.isatty():
        yield lambda stage: output.say(line(stage), err=to_errors), lambda text: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("beginning") as status:

        def done(stage: Stage) -> None:
            status.stop()  # lines on standard output and the spinner on standard error are one screen
            output.say(line(stage), err=to_errors)
            status.update("going on")
            status.start()

        yield done, status.update
