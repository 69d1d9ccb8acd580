"""``lusfx evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from lusfx.cli import output, terminal


@click.command(name="evaluate")
@click.option("--model", required=True, type=terminal.MODEL, help="Task model, or starter/NAME.")
@click.option("--labels", required=True, type=terminal.FILE, help="Label table (CSV or Parquet).")
@terminal.cache_option
@click.option("--report", type=terminal.FILE, help="Write an HTML report here.")
@terminal.force_option
@click.option("--by", multiple=True, metavar="COLUMN", help="Judge each value of a column by itself; may be repeated.")
@click.option(
    "--prevalence",
    type=float,
    metavar="SHARE",
    help="Share that is yes where the model is to be used, for the predictive values; the label table's own by default.",
)
@terminal.trust_table_option
@terminal.dataset_option
@terminal.seed_option
@terminal.json_option
def command(
    model: Path | str,
    labels: Path,
    cache: Path,
    report: Path | None,
    force: bool,
    by: tuple[str, ...],
    prevalence: float | None,
    trust_table: bool,
    dataset: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Judge a task model on labelled frames, clips or exams of patients that it was not trained on.

    It says how well the model tells yes from no, whether its probabilities may be believed, and what to do next.

    Refused where a patient or a clip was in its training. A gate is not asked: every labelled unit counts.
    """
    from lusfx.engine.evaluation.evaluate import evaluate
    from lusfx.engine.evaluation.verdict import next_steps, rates
    from lusfx.engine.training.report import stated

    result = evaluate(
        model,
        labels,
        cache,
        seed=seed,
        report=report,
        force=force,
        trust_table=trust_table,
        dataset=dataset,
        by=by,
        prevalence=prevalence,
    )
    terminal.print_result(result, as_json=as_json)
    if as_json:
        return
    for outcome in result.outcomes:
        if len(result.outcomes) > 1:
            output.say(f"{outcome.name}:")
        for name in outcome.performances:
            output.say(f"  {name}: {rates(result, outcome, name)}")
        if result.model.card.orders_only:
            output.say(f"  {outcome.calibration}")
            continue
        slope, intercept = outcome.metrics["calibration_slope"], outcome.metrics["calibration_intercept"]
        output.say(f"  calibration slope {stated(slope)}, intercept {stated(intercept)}: {outcome.calibration}")
    for subgroup in result.subgroups:
        output.say(subgroup.line())
    output.say(f"next: {next_steps(result)[0]}")
