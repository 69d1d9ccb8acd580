"""``lusfx model``: show, verify, starters."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lusfx.cli import output, terminal
from lusfx.messages import an, counted, short

if TYPE_CHECKING:
    from lusfx.task_model import TaskModel

model_argument = click.argument("directory", metavar="MODEL", type=terminal.MODEL)


@click.group(name="model")
def command() -> None:
    """Show or check a task model; list the starter models."""


@command.command()
@model_argument
@terminal.json_option
def show(directory: Path | str, as_json: bool) -> None:
    """Say what MODEL answers, and what its evidence is. MODEL is a directory, or a starter model (starter/NAME)."""
    from lusfx.contracts import head_in_words
    from lusfx.plugins import load_registry
    from lusfx.task_model import load_task_model, model_place

    registry = load_registry()
    model = load_task_model(model_place(directory), registry.heads.as_mapping(), registry.tasks.as_mapping())
    card, task, evidence = model.card, model.card.task, model.evidence["outcomes"]
    if as_json:
        metrics = {outcome.name: evidence[outcome.name]["metrics"] for outcome in card.outcomes}
        facts = card.model_dump(mode="json") | {"digest": model.digest, "metrics": metrics}
        terminal.print_json(facts | ({"judged": _judged(model)} if card.orders_only else {}))
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
    patient = "simulated patient" if card.orders_only else "patient"
    output.say(
        f"trained on {counted(card.training.n_units, task.unit)} of {counted(card.training.n_patients, patient)}, "
        f"{card.training.created:%Y-%m-%d}{', with weak labels' if card.training.weak_labels else ''}"
    )
    if card.trained_on is not None:
        among = "" if card.orders_only else "; the simulated patients are among those above"
        output.say(f"its heads learnt from simulated exams alone, and from no patient{among}")
    for outcome in card.outcomes:
        if card.orders_only:
            output.say(f"{outcome.name}: a score to order by, no probability; head {outcome.head.name}")
            _say_judged(_judged(model)[outcome.name])
            continue
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
def verify(directory: Path | str, as_json: bool) -> None:
    """Check every file of MODEL. Exit code 1 if anything is wrong."""
    from lusfx.plugins import load_registry
    from lusfx.task_model import model_place, verify_task_model

    registry = load_registry()
    problems = verify_task_model(model_place(directory), registry.heads.as_mapping(), registry.tasks.as_mapping())
    if as_json:
        terminal.print_json({"sound": not problems, "problems": problems})
    else:
        for problem in problems:
            output.say(problem)
        output.say("the task model is sound" if not problems else "the task model cannot be used")
    sys.exit(1 if problems else 0)


@command.command()
@terminal.json_option
def starters(as_json: bool) -> None:
    """List the starter models, which come with lusfx: what each orders, and how well on clips of patients.

    They learnt from simulated exams alone. 'lusfx score CLIPS --model starter/NAME --cache CACHE' orders clips by one;
    'lusfx recalibrate starter/NAME' makes a model of it that answers, with labels of your own.
    """
    from lusfx.plugins import load_registry
    from lusfx.task_model import load_task_model, model_place, starter_names

    heads = load_registry().heads.as_mapping()
    found = {name: load_task_model(model_place(name), heads) for name in starter_names()}
    if as_json:
        terminal.print_json(
            [
                {
                    "name": name,
                    "question": model.card.task.question,
                    "trained_on": model.card.trained_on,
                    "digest": model.digest,
                    "judged": _judged(model),
                }
                for name, model in found.items()
            ]
        )
        return
    for name, model in found.items():
        output.say(f"{name}: {model.card.task.question}")
        for judged in _judged(model).values():
            _say_judged(judged)


def _judged(model: TaskModel) -> dict[str, Any]:
    """What a starter model reached on data sets of patients, by outcome."""
    return {name: outcome.get("judged", []) for name, outcome in model.evidence["outcomes"].items()}


def _say_judged(judged: Sequence[Mapping[str, Any]]) -> None:
    for each in judged:
        auc = each["roc_auc"]
        output.say(
            f"  {each['data']}: AUC {auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f}), {each['n_events']} of "
            f"{counted(each['n_units'], 'clip')} of {counted(each['n_patients'], 'patient')} are yes"
        )
