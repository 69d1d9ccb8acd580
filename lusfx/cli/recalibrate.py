"""``lusfx recalibrate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lusfx.cli import output, terminal

if TYPE_CHECKING:
    from lusfx.calibration import CalibrationMethod


@click.command(name="recalibrate")
@click.argument("model", type=terminal.MODEL)
@click.option("--labels", required=True, type=terminal.FILE, help="Label table (CSV or Parquet) of other patients.")
@terminal.cache_option
@click.option("--out", required=True, type=terminal.ANY_PATH, help="Directory of the new task model.")
@click.option(
    "--calibration",
    type=click.Choice(["none", "platt", "isotonic"]),
    default="platt",
    show_default=True,
    help="How scores become probabilities.",
)
@terminal.force_option
@terminal.trust_table_option
@terminal.seed_option
@terminal.json_option
def command(
    model: Path | str,
    labels: Path,
    cache: Path,
    out: Path,
    calibration: CalibrationMethod,
    force: bool,
    trust_table: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Make a new task model with the heads of MODEL, and with a calibration and thresholds that fit labelled units.

    For a place where lusfx evaluate says that the probabilities cannot be believed. How well the heads tell yes from no
    stays as it is. What was fitted is judged by repeated cross-validation by patient. Refused where a patient or a clip was
    in the training of MODEL, which is left as it is. MODEL may be a starter model (starter/NAME): the new one then gives
    probabilities and answers, which the starter does not.
    """
    from lusfx.engine.evaluation.recalibrate import recalibrate

    show = (lambda text: output.say(text, err=True)) if sys.stderr.isatty() else None
    result = recalibrate(
        model,
        labels,
        cache,
        out,
        calibration=calibration,
        seed=seed,
        force=force,
        trust_table=trust_table,
        progress=show,
    )
    terminal.print_result(result, as_json=as_json)
    if as_json:
        return
    output.say(
        "next: judge it on patients of neither table: lusfx evaluate --model MODEL --labels LABELS --cache CACHE"
    )
