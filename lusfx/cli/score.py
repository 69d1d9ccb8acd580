"""``lusfx score``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lusfx.cli import output, terminal

if TYPE_CHECKING:
    from lusfx.contracts import Device, Runtime


@click.command(name="score")
@click.argument("sources", nargs=-1, type=terminal.ANY_PATH)
@click.option(
    "--model", "models", required=True, multiple=True, type=terminal.DIRECTORY, help="Task model; may be repeated."
)
@terminal.cache_option
@click.option("--out", required=True, type=terminal.FILE, help="Score table, .parquet or .csv.")
@click.option("--encoder", help="Encoder directory, where the models' encoder has no name here.")
@click.option(
    "--no-gates",
    is_flag=True,
    help="Answer a task everywhere, also where the task that it requires says otherwise or has no model here.",
)
@click.option("--report", type=terminal.FILE, help="Write an HTML report here: counts and shares, no pictures.")
@terminal.device_option
@terminal.threads_option
@terminal.workers_option
@terminal.runtime_option
@terminal.max_skipped_option
@terminal.other_site_key_option
@terminal.paths_option
@terminal.json_option
def command(
    sources: tuple[Path, ...],
    models: tuple[Path, ...],
    cache: Path,
    out: Path,
    encoder: str | None,
    no_gates: bool,
    report: Path | None,
    device: Device,
    threads: int,
    workers: int | None,
    runtime: Runtime,
    max_skipped: float,
    other_site_key: bool,
    show_paths: bool,
    as_json: bool,
) -> None:
    """Answer tasks for the clips of SOURCES, and write a table: a row a unit (frame, clip or exam), model and outcome.

    Clips that the cache lacks are encoded first; each clip is encoded and read once, whatever the number of models. Without
    SOURCES all clips that the cache holds are scored.

    What has no answer says why in the columns 'status', 'code' and 'reason'. Models that summarise exams add a table beside
    OUT whose name ends in -exams.

    Exit code: 0 all done, 1 error, 3 done but some sources failed or too many pictures were skipped, 130 interrupted.
    """
    from lusfx.engine.scoring.score import score

    with terminal.stop_on_signal() as stop, terminal.progress_bar("score") as progress:
        result = score(
            sources,
            models,
            cache,
            out,
            encoder=encoder,
            with_gates=not no_gates,
            device=device,
            threads=threads,
            workers=workers,
            runtime=runtime,
            max_skipped=max_skipped,
            other_site_key=other_site_key,
            show_paths=show_paths,
            report=report,
            progress=progress,
            stop=stop,
        )
    if as_json:
        terminal.print_json(result.as_dict(show_paths))
    else:
        if result.extraction is not None:
            terminal.report_extraction(result.extraction, show_paths)
        for warning in result.warnings:
            output.say(f"warning: {warning}", err=True)
        for problem in result.problems:
            output.say(f"warning: {problem}", err=True)
        for code, count in sorted(result.reasons.items()):
            output.say(f"note: {count} rows without an answer: {code}", err=True)
        output.say(result.summary())
    exit_code = 0 if result.extraction is None else terminal.extraction_exit_code(result.extraction)
    sys.exit(exit_code or (terminal.EXIT_SOME_FAILED if result.rows.get("failed") else 0))
