"""Judge a task model on labelled units of patients that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.arguments import optional_path
from lusfx.contracts import Task
from lusfx.engine.evaluation.report import evaluation_page
from lusfx.engine.evaluation.result import EvaluationResult, OutcomeEvaluation
from lusfx.engine.evaluation.subgroups import subgroups
from lusfx.engine.evaluation.unseen import load_with_task, unseen_units
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.task_figures import confusion, task_figures
from lusfx.errors import UsageError
from lusfx.metrics import Interval, may_be_believed, performance, predictive_values, reliability, summary
from lusfx.outputs import prepare_files
from lusfx.report import write_page
from lusfx.site_key import SiteKey
from lusfx.task_model import OutcomeCard, TaskModel, UnitFeatures, model_place

OF_ORDER = ("roc_auc", "average_precision")
NO_PROBABILITIES = (
    "scores of a model that learnt from simulated exams alone: they order units, and are no probabilities"
)


def evaluate(
    model: Path | str,
    labels: Path | str,
    cache: Path | str,
    *,
    task: Task | None = None,
    seed: int = 0,
    report: Path | str | None = None,
    force: bool = False,
    trust_table: bool = False,
    site_key: SiteKey | Path | str | None = None,
    by: Sequence[str] = (),
    prevalence: float | None = None,
    dataset: str | None = None,
) -> EvaluationResult:
    """Judge a task model on a label table's cached units. A gate is not asked: every labelled unit counts.

    Of a model that only orders units, a starter model say, only the order is judged.

    :param model: task model directory, or a starter model's name (``starter/NAME``).
    :param task: the task that the model answers, where no plugin provides it; it says how labels are read.
    :param report: where to write an HTML report, if anywhere.
    :param force: whether a report that is there may be replaced.
    :param trust_table: believe the label table's patients where the cache's ledgers say otherwise, or were made with another
        site key.
    :param by: columns of the label table; each of their values is a subgroup with figures of its own.
    :param prevalence: share of units that are yes where the model is to be used, which the predictive values are for; None for
        that of the label table.
    :param dataset: the data set that the table is of, in place of its column ``dataset``: the result warns where the encoder
        has seen it.
    :raises LeakError: if a patient or a clip was in training: the figures would be too good. Of clips that only look like
        training clips the result warns.
    :raises TableError: if units have no patient, so that no interval could be given, or none can be assessed.
    """
    prepare_files({"report": optional_path(report)}, read=[Path(labels)], force=force)
    loaded, task = load_with_task(model_place(model), task)
    check_prevalence(loaded, prevalence)
    unseen = unseen_units(
        loaded,
        task,
        Path(labels),
        Path(cache),
        trust_table=trust_table,
        site_key=site_key,
        columns=by,
        dataset=dataset,
    )
    samples, rows = unseen.samples, unseen.rows
    probabilities = loaded.score(samples.units, unseen.fingerprint)
    outcomes = [
        _outcome(stated, samples, number, probabilities[:, number], seed, prevalence)
        for number, stated in enumerate(loaded.card.outcomes)
    ]
    result = EvaluationResult(
        model=loaded,
        samples=samples,
        outcomes=outcomes,
        figures=_figures(loaded, samples, probabilities, seed),
        subgroups=subgroups(by, rows, samples, loaded.card.outcomes, probabilities, seed),
        confusion=_confusion(loaded, samples, probabilities),
        prevalence=prevalence,
        n_not_known=unseen.labelled.n_not_known,
        n_not_cached=len(unseen.labelled.rows_not_cached),
        warnings=[*_warnings(loaded, task, outcomes), *unseen.warnings],
    )
    if report is not None:
        write_page(evaluation_page(result), Path(report))
    return result


def _figures(
    model: TaskModel, samples: Samples[UnitFeatures], probabilities: NDArray[np.float64], seed: int
) -> dict[str, Interval]:
    """Figures of the task as a whole, at the thresholds that decide."""
    decisions = None if model.card.orders_only else model.decisions(probabilities)
    return task_figures(
        model.card.task,
        samples.targets,
        samples.classes,
        probabilities[None],
        None if decisions is None else decisions[None],
        samples.groups,
        seed=seed,
    )


def check_prevalence(model: TaskModel, prevalence: float | None) -> None:
    """Refuse a prevalence that is none, or of nobody knows which outcome.

    :raises UsageError: if it is not between 0 and 1, or the task has several outcomes.
    """
    if prevalence is None:
        return
    if not 0 < prevalence < 1:
        raise UsageError("a prevalence is a share above 0 and below 1")
    if len(model.card.outcomes) > 1:
        raise UsageError("a prevalence is of one yes-or-no question, and this task has several outcomes")


def _confusion(
    model: TaskModel, samples: Samples[UnitFeatures], probabilities: NDArray[np.float64]
) -> NDArray[np.int64] | None:
    """How many units of each class (rows) were answered to be of which (columns); None of tasks that have no such table."""
    if model.card.task.kind not in ("multi-class", "ordinal") or model.card.orders_only:
        return None
    return confusion(model.card.task, samples.classes, probabilities, model.decisions(probabilities))


def _outcome(
    stated: OutcomeCard,
    samples: Samples[UnitFeatures],
    number: int,
    probabilities: NDArray[np.float64],
    seed: int,
    prevalence: float | None,
) -> OutcomeEvaluation:
    rows = samples.known(number)
    targets, groups, known = samples.targets[rows, number], samples.groups[rows], probabilities[rows]
    figures = summary(targets, known, groups, seed=seed)
    if stated.decides is None:
        ordering = {name: figures[name] for name in OF_ORDER}
        return OutcomeEvaluation(stated.name, targets, known, ordering, {}, {}, None, NO_PROBABILITIES)
    calibration = reliability(targets, known, groups, seed=seed)
    believed, sentence = may_be_believed(targets, known, calibration)
    return OutcomeEvaluation(
        name=stated.name,
        targets=targets,
        probabilities=known,
        metrics={**figures, **calibration},
        performances={
            name: performance(targets, known >= threshold, groups, seed=seed)
            for name, threshold in stated.thresholds.items()
        },
        predictive={
            name: predictive_values(targets, known >= threshold, groups, prevalence, seed=seed)
            for name, threshold in stated.thresholds.items()
        },
        believed=believed,
        calibration=sentence,
    )


def _warnings(model: TaskModel, task: Task, outcomes: Sequence[OutcomeEvaluation]) -> list[str]:
    warnings = []
    if task.version != model.card.task.version:
        warnings.append(
            f"the model was trained for version {model.card.task.version} of the task, labels are read by {task.version}"
        )
    for outcome in outcomes:
        if not len(outcome.targets):
            warnings.append(f"'{outcome.name}': no labelled unit answers it: there are no figures")
        elif len(np.unique(outcome.targets)) < 2:
            warnings.append(f"'{outcome.name}': the labelled units are all of one class: there is no AUC")
    return warnings
