"""``lusfx model``: show, verify."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lusfx.cli import output, terminal
from lusfx.messages import an, counted, short

model_argument = click.argument("directory", metavar="MODEL", type=terminal.DIRECTORY)


@click.group(name="model")
def command() -> None:
    """Show or check a task model."""


@command.command()
@model_argument
@terminal.json_option
def show(directory: Path, as_json: bool) -> None:
    """Say what MODEL answers, and what its evidence is."""
    from lusfx.contracts import head_in_words
    from lusfx.plugins import load_registry
    from lusfx.task_model import load_task_model

    registry = load_registry()
    model = load_task_model(directory, registry.heads.as_mapping(), registry.tasks.as_mapping())
    card, task, evidence = model.card, model.card.task, model.evidence["outcomes"]
    if as_json:
        metrics = {outcome.name: evidence[outcome.name]["metrics"] for outcome in card.outcomes}
        terminal.print_json(card.model_dump(mode="json") | {"digest": model.digest, "metrics": metrics})
        return
    output.say(f"{model.name}: {task.question}")
    output.say(f"{task.kind}, one answer {an(task.unit)}: {', '.join(task.classes)}")
    output.say(f"features: {card.features.encoder}, {short(card.features.fingerprint)}, {task.form}")
    if model.own_encoder is not None:
        output.say("its encoder is in 'encoder' below it: score needs no --encoder, extract takes that directory")
    if task.requires is not None:
        output.say(f"answered only where {task.requires.task} is {task.requires.is_}")
    if card.novelty is not None:
        said = "called far" if task.abstain.familiar is None else "not answered"
        output.say(f"{said} farther than {card.novelty.limit:.2f} from the training set")
    if card.recalibrated_from is not None:
        output.say(
            f"recalibrated from {short(card.recalibrated_from)}: the figures are of the units that this was done on"
        )
    output.say(
        f"trained on {counted(card.training.n_units, task.unit)} of {counted(card.training.n_patients, 'patient')}, "
        f"{card.training.created:%Y-%m-%d}{', with weak labels' if card.training.weak_labels else ''}"
    )
    for outcome in card.outcomes:
        auc = evidence[outcome.name]["metrics"]["roc_auc"]
        calibration = "none" if outcome.calibration is None else outcome.calibration.kind
        spec = registry.head(outcome.head.name)
        head = head_in_words(spec.name, spec.settings.model_validate(dict(outcome.head.settings)))
        output.say(
            f"{outcome.name}: {outcome.n_events} of {outcome.n_units}; cross-validated AUC {auc['value']:.3f} "
            f"({auc['low']:.3f} to {auc['high']:.3f}); head {head}, calibration {calibration}"
        )
        for name, threshold in outcome.thresholds.items():
            output.say(f"  {name}: yes from {threshold:.3f}")
    output.say(f"the answer is {task.decided_by(card.outcomes[0].decides)}")


@command.command()
@model_argument
@terminal.json_option
def verify(directory: Path, as_json: bool) -> None:
    """Check every file of MODEL. Exit code 1 if anything is wrong."""
    from lusfx.plugins import load_registry
    from lusfx.task_model import verify_task_model

    registry = load_registry()
    problems = verify_task_model(directory, registry.heads.as_mapping(), registry.tasks.as_mapping())
    if as_json:
        terminal.print_json({"sound": not problems, "problems": problems})
    else:
        for problem in problems:
            output.say(problem)
        output.say("the task model is sound" if not problems else "the task model cannot be used")
    sys.exit(1 if problems else 0)
