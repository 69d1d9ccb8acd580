"""``lusfx extract``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lusfx.cli import output, terminal

if TYPE_CHECKING:
    from lusfx.config import Precision
    from lusfx.contracts import Device, Runtime
    from lusfx.engine.extraction.extract import ExtractResult


def _shard(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """``I/N`` as two numbers."""
    if value is None:
        return None
    number, _, n = value.partition("/")
    if not (number.isdecimal() and n.isdecimal()):
        raise click.BadParameter(f"{value!r} is not I/N, 3/16 say", ctx, param)
    return int(number), int(n)


@click.command(name="extract")
@click.argument("sources", nargs=-1, required=True, type=terminal.ANY_PATH)
@terminal.cache_option
@click.option("--encoder", help="Registered name or encoder directory.  [default: lung-lite0]")
@click.option("--weights", type=terminal.FILE, help="Safetensors file with the weights of a timm encoder.")
@terminal.device_option
@terminal.threads_option
@terminal.precision_option
@terminal.fps_option
@terminal.runtime_option
@click.option("--batch-size", type=click.IntRange(1, 1024), default=8, show_default=True, help="Frames at a time.")
@terminal.workers_option
@click.option(
    "--shard",
    metavar="I/N",
    callback=_shard,
    help="Take the I-th of N parts of the sources, 1/N to N/N: one a job of an array.",
)
@click.option("--profile", is_flag=True, help="Say where the time went.")
@terminal.max_skipped_option
@terminal.known_bad_option
@terminal.other_site_key_option
@terminal.paths_option
@terminal.json_option
def command(
    sources: tuple[Path, ...],
    cache: Path,
    encoder: str | None,
    weights: Path | None,
    device: Device,
    threads: int,
    precision: Precision,
    fps: float | None,
    runtime: Runtime,
    batch_size: int,
    workers: int | None,
    shard: tuple[int, int] | None,
    profile: bool,
    max_skipped: float,
    known_bad: Path | None,
    other_site_key: bool,
    show_paths: bool,
    as_json: bool,
) -> None:
    """Encode what the cache lacks.

    SOURCES are folders, video, image and DICOM files, and manifests (CSV or Parquet with a column 'path' relative to the
    table, and optionally patient_id, exam_id and zone), in any mixture. A bad file never stops the others.

    Exit code: 0 all done, 1 error, or nothing was found or all failed; 3 done but some sources failed or too many pictures were
    skipped, 130 interrupted.
    """
    from lusfx.encoders import DEFAULT_ENCODER
    from lusfx.engine.extraction.extract import extract

    with (
        terminal.naming_sources(show_paths),
        terminal.stop_on_signal() as stop,
        terminal.progress_bar("extract") as progress,
    ):
        result = extract(
            sources,
            cache,
            encoder=encoder or DEFAULT_ENCODER,
            weights=weights,
            device=device,
            threads=threads,
            precision=precision,
            fps=fps,
            runtime=runtime,
            batch_size=batch_size,
            workers=workers,
            shard=shard,
            max_skipped=max_skipped,
            known_bad=known_bad,
            other_site_key=other_site_key,
            progress=progress,
            stop=stop,
        )
    if as_json:
        facts = result.as_dict(show_paths)
        terminal.print_json(facts | {"profile": result.profile_as_dict()} if profile else facts)
    else:
        terminal.report_extraction(result, show_paths)
        if profile:
            _print_profile(result)
    sys.exit(terminal.extraction_exit_code(result))


def _print_profile(result: ExtractResult) -> None:
    """A table of the stages, and who kept the others waiting."""
    facts = result.profile_as_dict()
    rows = [
        [
            stage,
            f"{of['seconds']:.2f}",
            *("-" if value is None else f"{value:.2f}" for value in (of["ms_a_frame"], of["ms_a_clip"])),
            "-" if of["share"] is None else f"{of['share']:.0%}",
        ]
        for stage, of in facts["stages"].items()
    ]
    terminal.print_table(("stage", "seconds", "ms a frame", "ms a clip", "share"), rows)
    busy = ", ".join(f"{name} {share:.0%}" for name, share in facts["busy"].items())
    output.say(
        f"busy: {busy}; decoders: {facts['decoders']}, encoding threads: {facts['streams']}; "
        f"the bottleneck is {facts['bottleneck']}"
    )
