"""``lusfx pretrain``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lusfx.cli import terminal
from lusfx.cli.field_options import field_options
from lusfx.pretraining.settings import PretrainingSettings

if TYPE_CHECKING:
    from lusfx.contracts import Device
    from lusfx.engine.pretrain import DecodingProgress
    from lusfx.pretraining.trainer import TrainingProgress

RANDOM = "random"


@click.command(name="pretrain", short_help="Pretrain an encoder on clips without labels.")
@click.argument("sources", nargs=-1, required=True, type=terminal.ANY_PATH)
@click.option(
    "--out", required=True, type=terminal.DIRECTORY, help="Directory of the run; the encoder is in 'encoder' below it."
)
@field_options(PretrainingSettings, leave_out=["weights_sha256"])
@click.option(
    "--weights", default=RANDOM, show_default=True, help="Safetensors file that the backbone begins with, or 'random'."
)
@terminal.device_option
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="CPU threads; 0 for one or all, whichever a short trial finds faster.",
)
@click.option("--minutes", type=click.FloatRange(min=0), help="Stop after so long; the same command goes on.")
@click.option("--probe", type=terminal.FILE, help="Label table for the probe after each epoch; no label is trained on.")
@click.option("--probe-task", help="Task that reads the probe's labels.")
@click.option("--name", help="What the encoder is called.  [default: architecture and method]")
@click.option("--licence", default="not stated", show_default=True, help="Licence of the weights, for the model card.")
@terminal.json_option
def command(
    sources: tuple[Path, ...],
    out: Path,
    weights: str,
    device: Device,
    threads: int,
    minutes: float | None,
    probe: Path | None,
    probe_task: str | None,
    name: str | None,
    licence: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Pretrain an encoder on clips without labels, for 'extract --encoder OUT/encoder'.

    SOURCES are as for 'extract'. Frames are decoded once and kept below --out. A run that was stopped, by --minutes, Ctrl-C or
    a crash, goes on when the same command is given again. Under torchrun, processes share each batch.

    Exit code: 0 all epochs done, or --minutes are over; 1 error, 130 interrupted. A collapsed run ends with 0 and says so.
    """
    from lusfx.engine.pretrain import pretrain

    with terminal.stop_on_signal() as stop, _progress() as progress:
        result = pretrain(
            sources,
            out,
            weights=None if weights == RANDOM else Path(weights),
            probe=probe,
            probe_task=probe_task,
            name=name,
            licence=licence,
            device=device,
            threads=threads,
            minutes=minutes,
            progress=progress,
            stop=stop,
            **settings,
        )
    if _is_first():
        if as_json:
            terminal.print_json(result.as_dict())
        else:
            for warning in result.warnings:
                click.echo(f"warning: {warning}", err=True)
            click.echo(result.summary())
    sys.exit(terminal.EXIT_INTERRUPTED if result.interrupted else 0)


def _is_first() -> bool:
    """Whether this is the process that speaks for all that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def _progress() -> Iterator[Callable[[DecodingProgress | TrainingProgress], None] | None]:
    """A bar with rate, loss and time left on a terminal; nothing in a pipe."""
    if not sys.stderr.isatty() or not _is_first():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from lusfx.engine.pretrain import DecodingProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("decode", total=None, said="")

        def show(progress: DecodingProgress | TrainingProgress) -> None:
            if isinstance(progress, DecodingProgress):
                bar.update(task, description="decode", total=progress.found, completed=progress.done, said="clips")
                return
            said = f"steps  loss {progress.loss:.4g}  {progress.images_per_s:.0f} images/s  {_time(progress.seconds_left)} left"
            epoch = f"epoch {progress.epoch}/{progress.epochs}"
            bar.update(task, description=epoch, total=progress.steps, completed=progress.step, said=said)

        yield show


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
