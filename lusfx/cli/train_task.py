"""``lusfx train-task``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lusfx.cli import terminal


@click.command(name="train-task", short_help="Train a head for a task on cached features.")
@click.argument("tasks", nargs=-1, required=True)
@click.option("--labels", required=True, type=terminal.FILE, help="Label table (CSV or Parquet).")
@terminal.cache_option
@click.option(
    "--out", required=True, type=terminal.DIRECTORY, help="Directory of the task model; of several, their parent."
)
@click.option("--head", help="Kind of head; see 'lusfx heads'.  [default: logistic]")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the head; may be repeated.")
@click.option("--folds", type=click.IntRange(2, 50), default=5, show_default=True, help="Cross-validation folds.")
@click.option(
    "--repeats", type=click.IntRange(1, 100), default=5, show_default=True, help="Cross-validations with other folds."
)
@terminal.seed_option
@terminal.fingerprint_option
@terminal.json_option
def command(
    tasks: tuple[str, ...],
    labels: Path,
    cache: Path,
    out: Path,
    head: str | None,
    settings: tuple[str, ...],
    folds: int,
    repeats: int,
    seed: int,
    fingerprint: str | None,
    as_json: bool,
) -> None:
    """Train a head for each of TASKS on cached features.

    The head is judged by repeated cross-validation in which no patient is on both sides, then fitted on all patients and
    saved with its evidence and a report. Training is refused where no result could be trusted.
    """
    from lusfx.engine.train import DEFAULT_HEAD, train_task

    pairs = dict(_pair(text) for text in settings)
    show = (lambda text: click.echo(text, err=True)) if sys.stderr.isatty() else None
    results = train_task(
        tasks,
        labels,
        cache,
        out,
        head=head or DEFAULT_HEAD,
        settings=pairs,
        n_folds=folds,
        n_repeats=repeats,
        seed=seed,
        fingerprint=fingerprint,
        progress=show,
    )
    if as_json:
        terminal.print_json([result.as_dict() for result in results])
        return
    for result in results:
        for warning in result.warnings:
            click.echo(f"warning: {result.task.name}: {warning}", err=True)
        click.echo(result.summary())


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"'{text}' is not NAME=VALUE", param_hint="--set")
    return name.strip(), value.strip()
