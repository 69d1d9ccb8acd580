"""``lusfx export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lusfx.cli import output, terminal

if TYPE_CHECKING:
    from lusfx.engine.export import Rows


@click.command(name="export")
@terminal.cache_option
@click.option("--out", required=True, type=terminal.FILE, help="Table of the features, .parquet or .csv.")
@click.option(
    "--rows",
    type=click.Choice(["mean", "max", "mean+max", "mean+std", "mean+change", "mean+max+change", "frames"]),
    default="mean+max",
    show_default=True,
    help="How the frames of a clip become its one row; or a row for each frame.",
)
@click.option("--encoder", help="Which features, by their encoder's name or directory, if the cache holds several.")
@terminal.fingerprint_option
@terminal.force_option
@terminal.json_option
def command(
    cache: Path, out: Path, rows: Rows, encoder: str | None, fingerprint: str | None, force: bool, as_json: bool
) -> None:
    """Write the features of all clips of a cache as a table, for other tools.

    Its columns are clip, patient, exam, zone, frame, time_s, encoder, fingerprint, and f0, f1, and so on. Patients and exams
    are pseudonyms.
    """
    from lusfx.engine.export import export

    made = export(cache, out, rows=rows, encoder=encoder, fingerprint=fingerprint, force=force)
    if as_json:
        terminal.print_json(made.as_dict())
    else:
        output.say(made.summary())
