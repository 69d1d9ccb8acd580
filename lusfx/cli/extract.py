"""``lusfx extract``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lusfx.cli import terminal

if TYPE_CHECKING:
    from lusfx.contracts import Device


@click.command(name="extract", short_help="Encode what the cache lacks.")
@click.argument("sources", nargs=-1, required=True, type=terminal.ANY_PATH)
@terminal.cache_option
@click.option("--encoder", help="Registered name or encoder directory.  [default: lung-lite0]")
@click.option("--weights", type=terminal.FILE, help="Safetensors file with the weights of a timm encoder.")
@terminal.device_option
@terminal.threads_option
@click.option("--batch-size", type=click.IntRange(1, 1024), default=8, show_default=True, help="Frames at a time.")
@terminal.paths_option
@terminal.json_option
def command(
    sources: tuple[Path, ...],
    cache: Path,
    encoder: str | None,
    weights: Path | None,
    device: Device,
    threads: int,
    batch_size: int,
    show_paths: bool,
    as_json: bool,
) -> None:
    """Encode what the cache lacks.

    SOURCES are folders, video, image and DICOM files, and manifests (CSV or Parquet with a column 'path' relative to the
    table, and optionally patient_id, exam_id and zone), in any mixture. A bad file never stops the others.

    Exit code: 0 all done, 1 error, 3 done but some sources failed, 130 interrupted.
    """
    from lusfx.encoders import DEFAULT_ENCODER
    from lusfx.engine.extract import extract

    with terminal.stop_on_signal() as stop, terminal.progress_bar("extract") as progress:
        result = extract(
            sources,
            cache,
            encoder=encoder or DEFAULT_ENCODER,
            weights=weights,
            device=device,
            threads=threads,
            batch_size=batch_size,
            progress=progress,
            stop=stop,
        )
    if as_json:
        terminal.print_json(result.as_dict(show_paths))
    else:
        terminal.report_extraction(result, show_paths)
    sys.exit(terminal.extraction_exit_code(result))
