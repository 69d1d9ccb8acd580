"""``lusfx score``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lusfx.cli import output, terminal
from lusfx.errors import UsageError
from lusfx.messages import counted

if TYPE_CHECKING:
    from lusfx.contracts import Device, Runtime
    from lusfx.engine.scoring.result import ScoreResult


@click.command(name="score")
@click.argument("sources", nargs=-1, type=terminal.ANY_PATH)
@click.option(
    "--model",
    "models",
    required=True,
    multiple=True,
    type=terminal.MODEL,
    help="Task model, a directory of task models, or a starter model (starter/NAME); may be repeated.",
)
@terminal.cache_option
@click.option(
    "--out",
    type=terminal.FILE,
    help="Score table, .parquet or .csv; - for CSV on standard output. Left out, the answers are printed.",
)
@click.option("--encoder", help="Encoder directory, where the models' encoder has no name here.")
@click.option(
    "--no-gates",
    is_flag=True,
    help="Answer a task everywhere, also where the task that it requires says otherwise or has no model here.",
)
@click.option("--report", type=terminal.FILE, help="Write an HTML report here: counts and shares, no pictures.")
@terminal.force_option
@terminal.device_option
@terminal.threads_option
@terminal.workers_option
@terminal.runtime_option
@terminal.max_skipped_option
@terminal.known_bad_option
@terminal.other_site_key_option
@terminal.paths_option
@terminal.json_option
def command(
    sources: tuple[Path, ...],
    models: tuple[Path | str, ...],
    cache: Path,
    out: Path | None,
    encoder: str | None,
    no_gates: bool,
    report: Path | None,
    force: bool,
    device: Device,
    threads: int,
    workers: int | None,
    runtime: Runtime,
    max_skipped: float,
    known_bad: Path | None,
    other_site_key: bool,
    show_paths: bool,
    as_json: bool,
) -> None:
    """Answer tasks for the clips of SOURCES, and write a table: a row a unit (frame, clip or exam), model and outcome.

    Clips that the cache lacks are encoded first; each clip is encoded and read once, whatever the number of models. Without
    SOURCES all clips that the cache holds are scored.

    What has no answer says why in the columns 'status', 'code' and 'reason'. Models that summarise exams add a table beside
    OUT whose name ends in -exams. Where nothing is found, or all fails and there is a table already, nothing is written.

    Starter models come with lusfx ('lusfx model starters') and learnt from simulated exams alone: their scores order clips, and
    are no probabilities and no answers.

    Of a single clip, and without --out, the answers are printed in words.

    Exit code: 0 all done, 1 error, or nothing was found or all failed; 3 done but some sources failed or too many pictures were
    skipped, 4 the table is written but a plugin could not hand it over, 130 interrupted.
    """
    from lusfx.engine.scoring.score import score

    if str(out) == "-" and as_json:
        raise UsageError("standard output has room for one: leave out --json, or name a file with --out")
    with (
        terminal.naming_sources(show_paths),
        _table_for(out) as table,
        terminal.stop_on_signal() as stop,
        terminal.progress_bar("score") as progress,
    ):
        result = score(
            sources,
            models,
            cache,
            table,
            encoder=encoder,
            with_gates=not no_gates,
            device=device,
            threads=threads,
            workers=workers,
            runtime=runtime,
            max_skipped=max_skipped,
            known_bad=known_bad,
            other_site_key=other_site_key,
            show_paths=show_paths,
            report=report,
            force=force,
            progress=progress,
            stop=stop,
        )
    if as_json:
        terminal.print_json(result.as_dict(show_paths))
    else:
        to_errors = str(out) == "-"
        if result.extraction is not None:
            terminal.report_extraction(result.extraction, show_paths, to_errors=to_errors)
        for warning in result.warnings:
            output.say(f"warning: {warning}", err=True)
        for problem in result.problems:
            output.say(f"warning: {problem}", err=True)
        for code, count in sorted(result.reasons.items()):
            output.say(f"note: {counted(count, 'row')} without an answer: {code}", err=True)
        output.say(result.summary(), err=to_errors)
        if out is None or (result.extraction is not None and result.extraction.found == 1):
            for line in result.words:
                output.say(line, err=to_errors)
    sys.exit(_exit_code(result))


def _exit_code(result: ScoreResult) -> int:
    """That of the extraction; before all but what leaves no table comes a plugin that could not hand it over."""
    code = 0 if result.extraction is None else terminal.extraction_exit_code(result.extraction)
    if code in (0, terminal.EXIT_SOME_FAILED) and result.problems:
        return terminal.EXIT_NOT_HANDED_OVER
    n_known = 0 if result.extraction is None else result.extraction.n_known_bad
    n_failed = result.rows.get("failed", 0) - n_known * len(result.models)
    return code or (terminal.EXIT_SOME_FAILED if n_failed > 0 else 0)


@contextmanager
def _table_for(out: Path | None) -> Iterator[Path | None]:
    """Where the table is written: of standard output a file that is then copied there, and removed."""
    if str(out) != "-":
        yield out
        return
    with tempfile.TemporaryDirectory() as directory:
        table = Path(directory) / "scores.csv"
        yield table
        if table.with_name("scores-exams.csv").exists():
            output.say("note: the table of exams is left out; name a file with --out to have it", err=True)
        with table.open(encoding="utf-8", newline="") as lines:
            for line in lines:
                output.say(line.rstrip("\r\n"))
