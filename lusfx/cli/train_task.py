"""``lusfx train-task``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lusfx.cli import output, terminal
from lusfx.cli.bar import Log

if TYPE_CHECKING:
    from lusfx.calibration import CalibrationMethod
    from lusfx.contracts import Pooling

EXIT_REFUSED = 1


@click.command(name="train-task")
@click.argument("tasks", nargs=-1, required=True)
@click.option("--labels", required=True, type=terminal.FILE, help="Label table (CSV or Parquet).")
@terminal.cache_option
@click.option(
    "--out", required=True, type=terminal.DIRECTORY, help="Directory of the task model; of several, their parent."
)
@click.option(
    "--head",
    help="Kind of head; see 'lusfx heads'.  'auto' tries each kind.  [default: mlp, or attention if the task pools so]",
)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the head; may be repeated.")
@click.option(
    "--search",
    is_flag=True,
    help="Try several poolings unless --pooling is given, and heads and settings, of --head only if given; judged on "
    "patients that the search never saw, against the default settings.",
)
@click.option(
    "--learning-curve",
    is_flag=True,
    help="Also judge the training on 25, 50 and 75% of the patients, and say whether more labels would help.",
)
@click.option(
    "--pooling",
    type=click.Choice(["mean", "max", "mean+max", "mean+std", "mean+change", "mean+max+change", "attention", "custom"]),
    help="How frames become features, if not as the task says.",
)
@click.option(
    "--calibration",
    type=click.Choice(["none", "platt", "isotonic"]),
    default="platt",
    show_default=True,
    help="How scores become probabilities; fitted out of fold.",
)
@click.option("--folds", type=click.IntRange(2, 50), default=5, show_default=True, help="Cross-validation folds.")
@click.option(
    "--repeats",
    type=click.IntRange(1, 100),
    help="Cross-validations with other folds.  [default: 5, or 1 from 500 patients on]",
)
@click.option(
    "--max-near-duplicates",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    default=0.1,
    show_default=True,
    help="Refuse if more than this share of the clips look like a clip of another patient; up to it, warn.",
)
@terminal.force_option
@terminal.trust_table_option
@terminal.dataset_option
@terminal.seed_option
@click.option("--encoder", help="Which features, by their encoder's name or directory, if the cache holds several.")
@terminal.fingerprint_option
@terminal.json_option
def command(
    tasks: tuple[str, ...],
    labels: Path,
    cache: Path,
    out: Path,
    head: str | None,
    settings: tuple[str, ...],
    search: bool,
    learning_curve: bool,
    pooling: Pooling | None,
    calibration: CalibrationMethod,
    folds: int,
    repeats: int | None,
    max_near_duplicates: float,
    force: bool,
    trust_table: bool,
    dataset: str | None,
    seed: int,
    encoder: str | None,
    fingerprint: str | None,
    as_json: bool,
) -> None:
    """Train a task model for each of TASKS on cached features, which are read once for all of them.

    The whole procedure (choosing a head, calibrating it, choosing thresholds) is judged by repeated cross-validation in which
    no patient is on both sides, then done on all patients and saved with its evidence and a report. Training is refused
    where no result could be trusted; of several tasks the others are trained all the same, and the exit code is 1.
    """
    from lusfx.engine.training.result import SomeRefusedError
    from lusfx.engine.training.train import train_task

    pairs = dict(_pair(text) for text in settings)
    show = (lambda text: output.say(text, err=True)) if sys.stderr.isatty() else Log().say
    refused: dict[str, str] = {}
    try:
        results = train_task(
            tasks,
            labels,
            cache,
            out,
            head=head,
            settings=pairs,
            pooling=pooling,
            calibration=calibration,
            search=search,
            learning_curve=learning_curve,
            n_folds=folds,
            n_repeats=repeats,
            seed=seed,
            encoder=encoder,
            fingerprint=fingerprint,
            max_near_duplicates=max_near_duplicates,
            force=force,
            trust_table=trust_table,
            dataset=dataset,
            progress=show,
        )
    except SomeRefusedError as error:
        results, refused = error.results, error.refused
    if as_json:
        told = [{"task": task, "refused": reason} for task, reason in refused.items()]
        terminal.print_json([*(result.as_dict() for result in results), *told])
    for result in () if as_json else results:
        for warning in result.warnings:
            output.say(f"warning: {result.card.name}: {warning}", err=True)
        output.say(result.summary())
        if result.search is not None:
            for outcome in result.outcomes:
                output.say(f"{result.card.name}: '{outcome.name}' takes {outcome.learnt.chosen}")
            output.say(f"{result.card.name}: {result.search}")
        if result.curve is not None:
            output.say(f"{result.card.name}: {result.curve}")
    for task, reason in refused.items():
        output.say(f"Error: {task} is refused: {reason}", err=True)
    if refused:
        sys.exit(EXIT_REFUSED)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"'{text}' is not NAME=VALUE", param_hint="--set")
    return name.strip(), value.strip()
