"""What the page of ``evaluate`` says."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from lusfx.engine.evaluation.result import EvaluationResult
from lusfx.engine.evaluation.subgroups import FEWEST_PATIENTS, FEWEST_UNITS
from lusfx.engine.evaluation.verdict import next_steps, verdict
from lusfx.engine.training.report import LIMITS, OutcomeView, counted, result_sections, stated
from lusfx.messages import counted as n_of
from lusfx.metrics import Interval
from lusfx.report import Code, Page, Section, Table, Text
from lusfx.version import __version__


def evaluation_page(result: EvaluationResult) -> Page:
    """The report of a task model judged on other patients."""
    card = result.model.card
    views = [
        OutcomeView(
            name=outcome.name,
            targets=outcome.targets,
            probabilities=outcome.probabilities[None],
            folds=np.zeros((1, len(outcome.targets)), np.int64),
            thresholds=card_of_outcome.thresholds,
            metrics=outcome.metrics,
            performances=outcome.performances,
            predictive=outcome.predictive,
        )
        for outcome, card_of_outcome in zip(result.outcomes, card.outcomes, strict=True)
    ]
    samples = result.samples
    headline = result.figures.get("mean_roc_auc", result.outcomes[0].metrics["roc_auc"])
    what = "AUC" if card.task.kind == "binary" else f"Mean AUC over {len(views)} outcomes"
    facts = [
        ("task model", result.model.name),
        ("its digest", result.model.digest),
        ("trained", f"{card.training.created:%Y-%m-%d}"),
        ("judged", f"{datetime.now(UTC):%Y-%m-%d}, by lusfx {__version__}"),
        ("the answer", card.task.decided_by(card.outcomes[0].decides)),
        (f"{card.task.unit}s judged", str(len(samples))),
        ("patients", str(samples.n_patients)),
        *[(f"'{view.name}'", f"{int(view.targets.sum())} of {len(view.targets)} {card.task.unit}s") for view in views],
        (f"{card.task.unit}s whose label is not known", str(result.n_not_known)),
        *[(f"{card.task.unit}s not assessable: {code}", str(count)) for code, count in sorted(samples.reasons.items())],
        ("trained on", _of(card.training.n_units, card.task.unit, card.training.n_patients, "other patient")),
        *([("its heads", "learnt from simulated exams alone")] if card.trained_on else []),
    ]
    return Page(
        title=card.task.question,
        lead=(
            f"{what} {stated(headline)} on {_of(len(samples), card.task.unit, samples.n_patients, 'patient')}. None of "
            "these patients was in its training."
        ),
        warnings=result.warnings,
        sections=[
            *result_sections(views, result.figures, card.task, result.confusion),
            *_subgroup_section(result),
            Section("What it was judged on", [Table("", ("fact", "value"), facts)]),
            Section(
                "Verdict", [Text(verdict(result), marked=True), Text(["What to type next:"]), Code(next_steps(result))]
            ),
        ],
        limits=LIMITS[1:],
    )


def _subgroup_section(result: EvaluationResult) -> list[Section]:
    tables = []
    note = (
        f"A rate is given where it rests on at least {FEWEST_UNITS} units of {FEWEST_PATIENTS} patients; intervals: 95%, "
        "bootstrapped over patients. Of many subgroups some differ by chance."
    )
    for column in dict.fromkeys(subgroup.column for subgroup in result.subgroups):
        rows = [
            (
                subgroup.value,
                subgroup.outcome,
                f"{subgroup.n_units} of {subgroup.n_patients} patients",
                f"{subgroup.n_events}{'' if subgroup.expected is None else f', expected {subgroup.expected:.1f}'}",
                _said(subgroup.roc_auc),
                _said(subgroup.sensitivity, subgroup.n_events),
                _said(subgroup.specificity, subgroup.n_units - subgroup.n_events),
            )
            for subgroup in result.subgroups
            if subgroup.column == column
        ]
        unit = f"{result.model.card.task.unit}s"
        header = (column, "outcome", unit, "yes", "AUC", "sensitivity", "specificity")
        tables.append(Table(f"By {column}", header, rows, note))
    return [Section("Subgroups", tables)] if tables else []


def _said(figure: Interval | None, number: int | None = None) -> str:
    if figure is None:
        return "not enough to say"
    return stated(figure) if number is None else f"{stated(figure)}, {counted(figure, number)}"


def _of(n_units: int, unit: str, n_patients: int, patient: str) -> str:
    return f"{n_of(n_units, unit)} of {n_of(n_patients, patient)}"
