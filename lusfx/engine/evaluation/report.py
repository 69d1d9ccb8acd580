"""What the page of ``evaluate`` says."""

from __future__ import annotations

import numpy as np

from lusfx.engine.evaluation.result import EvaluationResult
from lusfx.engine.training.report import LIMITS, OutcomeView, result_sections, stated
from lusfx.report import Page, Section, Table


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
        )
        for outcome, card_of_outcome in zip(result.outcomes, card.outcomes, strict=True)
    ]
    samples = result.samples
    headline = result.figures.get("mean_roc_auc", result.outcomes[0].metrics["roc_auc"])
    what = "AUC" if card.task.kind == "binary" else f"Mean AUC over {len(views)} outcomes"
    facts = [
        ("task model", result.model.name),
        (f"{card.task.unit}s judged", str(len(samples))),
        ("patients", str(samples.n_patients)),
        *[(f"'{view.name}'", f"{int(view.targets.sum())} of {len(view.targets)} {card.task.unit}s") for view in views],
        (f"{card.task.unit}s whose label is not known", str(result.n_not_known)),
        *[(f"{card.task.unit}s not assessable: {code}", str(count)) for code, count in sorted(samples.reasons.items())],
        ("trained on", f"{card.training.n_units} {card.task.unit}s of {card.training.n_patients} other patients"),
    ]
    return Page(
        title=card.task.question,
        lead=(
            f"{what} {stated(headline)} on {len(samples)} {card.task.unit}s of {samples.n_patients} patients. None of these "
            "patients was in its training."
        ),
        warnings=result.warnings,
        sections=[
            *result_sections(views, result.figures, card.task),
            Section("What it was judged on", [Table("", ("fact", "value"), facts)]),
        ],
        limits=LIMITS[1:],
    )
