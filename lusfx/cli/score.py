"""``lusfx score``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lusfx.cli import terminal

if TYPE_CHECKING:
    from lusfx.contracts import Device


@click.command(name="score", short_help="Answer tasks for clips, and write a table of scores.")
@click.argument("sources", nargs=-1, required=True, type=terminal.ANY_PATH)
@click.option(
    "--model", "models", required=True, multiple=True, type=terminal.DIRECTORY, help="Task model; may be repeated."
)
@terminal.cache_option
@click.option("--out", required=True, type=terminal.FILE, help="Score table, .parquet or .csv.")
@click.option("--encoder", help="Encoder directory, where the models' encoder has no name here.")
@terminal.device_option
@terminal.threads_option
@terminal.paths_option
@terminal.json_option
def command(
    sources: tuple[Path, ...],
    models: tuple[Path, ...],
    cache: Path,
    out: Path,
    encoder: str | None,
    device: Device,
    threads: int,
    show_paths: bool,
    as_json: bool,
) -> None:
    """Answer tasks for the clips of SOURCES, and write a table: a row a clip and model.

    Clips that the cache lacks are encoded first; each clip is encoded once, whatever the number of models. A clip that
    could not be scored has its reason in the column 'status'.

    Exit code: 0 all done, 1 error, 3 done but some sources failed, 130 interrupted.
    """
    from lusfx.engine.score import score

    with terminal.stop_on_signal() as stop, terminal.progress_bar("score") as progress:
        result = score(
            sources,
            models,
            cache,
            out,
            encoder=encoder,
            device=device,
            threads=threads,
            show_paths=show_paths,
            progress=progress,
            stop=stop,
        )
    if as_json:
        terminal.print_json(result.as_dict(show_paths))
    else:
        terminal.report_extraction(result.extraction, show_paths)
        for problem in result.problems:
            click.echo(f"warning: {problem}", err=True)
        click.echo(result.summary())
    sys.exit(terminal.extraction_exit_code(result.extraction))
