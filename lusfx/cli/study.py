"""``lusfx study``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lusfx.cli import output, terminal
from lusfx.cli.bar import Stand, bar

if TYPE_CHECKING:
    from lusfx.contracts import Device
    from lusfx.engine.extraction.extract import Progress
    from lusfx.networks.decoded_frames import DecodingProgress
    from lusfx.studies import RunsDone


@click.command(name="study")
@click.argument("config", type=terminal.FILE)
@click.option("--out", required=True, type=terminal.DIRECTORY, help="Directory of the study; a study there goes on.")
@click.option("--cache", type=terminal.DIRECTORY, help="Cache directory.  [default: OUT/cache]")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes that fit heads and, on the CPU, train networks, of one thread each.",
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would be done, what is there, and how long the rest would take."
)
@click.option(
    "--minutes", type=click.FloatRange(min=0), help="Begin no run after so long, and make the tables of what there is."
)
@terminal.device_option
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="CPU threads for encoding and fine-tuning; 0 for what is fastest.",
)
@terminal.json_option
def command(
    config: Path,
    out: Path,
    cache: Path | None,
    workers: int,
    dry_run: bool,
    minutes: float | None,
    device: Device,
    threads: int,
    as_json: bool,
) -> None:
    """Compare initial weights and ways of learning, by task, label fraction and test set, as CONFIG says.

    CONFIG is a TOML or JSON file. Clips are encoded once for each encoder, and every training's scores are kept in OUT as soon
    as they are there. A study that was stopped goes on with the same command; one that is done only makes its tables again.

    Exit code: 0 done, or --minutes are over; 1 or 2 error, 130 interrupted.
    """
    from lusfx.studies import forecast_study, study

    if dry_run:
        expected = forecast_study(config, out, cache=cache, workers=workers, device=device, threads=threads)
        if as_json:
            terminal.print_json(expected.as_dict())
            return
        for line in expected.lines():
            output.say(line)
        output.say(expected.summary())
        return
    with terminal.stop_on_signal() as stop, bar(_stand) as progress:
        result = study(
            config,
            out,
            cache=cache,
            workers=workers,
            minutes=minutes,
            device=device,
            threads=threads,
            progress=progress,
            stop=stop,
        )
    terminal.print_result(result, as_json=as_json)


def _stand(progress: Progress | DecodingProgress | RunsDone) -> Stand:
    from lusfx.engine.extraction.extract import Progress
    from lusfx.networks.decoded_frames import DecodingProgress

    if isinstance(progress, Progress):
        return Stand("encode", progress.settled, progress.found, "clips")
    if isinstance(progress, DecodingProgress):
        return Stand("decode", progress.done, progress.found, "clips")
    return Stand("train", progress.done, progress.of, "runs")
