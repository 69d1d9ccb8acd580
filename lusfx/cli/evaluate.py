"""``lusfx evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from lusfx.cli import output, terminal


@click.command(name="evaluate")
@click.option("--model", required=True, type=terminal.DIRECTORY, help="Task model.")
@click.option("--labels", required=True, type=terminal.FILE, help="Label table (CSV or Parquet).")
@terminal.cache_option
@click.option("--report", type=terminal.FILE, help="Write an HTML report here.")
@terminal.trust_table_option
@terminal.seed_option
@terminal.json_option
def command(
    model: Path, labels: Path, cache: Path, report: Path | None, trust_table: bool, seed: int, as_json: bool
) -> None:
    """Judge a task model on labelled frames, clips or exams of patients that it was not trained on.

    Refused where a patient or a clip was in its training. A gate is not asked: every labelled unit counts.
    """
    from lusfx.engine.evaluation.evaluate import evaluate
    from lusfx.outputs import prepare_files

    prepare_files({"report": report}, read=[labels])
    result = evaluate(model, labels, cache, seed=seed, report=report, trust_table=trust_table)
    if as_json:
        terminal.print_json(result.as_dict())
        return
    for warning in result.warnings:
        output.say(f"warning: {warning}", err=True)
    output.say(result.summary())
    for outcome in result.outcomes:
        if len(result.outcomes) > 1:
            output.say(f"{outcome.name}:")
        for name, value in outcome.performances.items():
            output.say(f"  {name}: sensitivity {value.sensitivity}, specificity {value.specificity}")
