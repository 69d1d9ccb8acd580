"""``lusfx model``: show, verify."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lusfx.cli import terminal

model_argument = click.argument("directory", metavar="MODEL", type=terminal.DIRECTORY)


@click.group(name="model", short_help="Show or check a task model.")
def command() -> None:
    """Show or check a task model."""


@command.command()
@model_argument
@terminal.json_option
def show(directory: Path, as_json: bool) -> None:
    """Say what MODEL answers, and what its evidence is."""
    from lusfx.plugins import load_registry
    from lusfx.task_model import load_task_model

    model = load_task_model(directory, load_registry().heads.as_mapping())
    card = model.card
    if as_json:
        terminal.print_json(
            card.model_dump(mode="json") | {"digest": model.digest, "metrics": model.evidence["metrics"]}
        )
        return
    auc = model.evidence["metrics"]["roc_auc"]
    click.echo(f"{model.name}: {card.task.question}")
    click.echo(f"head: {card.head.name}; features: {card.features.encoder}, {card.features.fingerprint[:12]}")
    click.echo(
        f"trained on {card.training.n_clips} clips of {card.training.n_patients} patients "
        f"({card.training.n_events} events), {card.training.created:%Y-%m-%d}"
    )
    click.echo(f"cross-validated AUC {auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})")
    for name, point in card.operating_points.items():
        click.echo(f"  {name}: yes from {point.threshold:.3f}")


@command.command()
@model_argument
@terminal.json_option
def verify(directory: Path, as_json: bool) -> None:
    """Check every file of MODEL. Exit code 1 if anything is wrong."""
    from lusfx.plugins import load_registry
    from lusfx.task_model import verify_task_model

    problems = verify_task_model(directory, load_registry().heads.as_mapping())
    if as_json:
        terminal.print_json({"sound": not problems, "problems": problems})
    else:
        for problem in problems:
            click.echo(problem)
        click.echo("the task model is sound" if not problems else "the task model cannot be used")
    sys.exit(1 if problems else 0)
