"""What every way of training a task has in common: refuse what cannot be trusted, judge what was learnt, save it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import Task
from lusfx.engine.samples.samples import Samples, U
from lusfx.engine.training.cross_validation import CrossValidation
from lusfx.engine.training.learner import LearntOutcome
from lusfx.engine.training.report import training_page
from lusfx.engine.training.resemblance import unlike
from lusfx.engine.training.result import OutcomeResult, TrainingResult
from lusfx.engine.training.task_figures import confusion, task_figures
from lusfx.errors import TrainingRefusedError
from lusfx.metrics import Interval, performance, summary
from lusfx.novelty import USUAL_SHARE, Novelty, familiar_limit, fit_novelty
from lusfx.patients import numbered
from lusfx.report import render
from lusfx.splits import Fold, check_trainable, training_warnings
from lusfx.task_model import TaskCard, UnitFeatures, place_of_old, save_task_model


def check_samples(card: TaskCard, samples: Samples[U], n_folds: int) -> list[str]:
    """Refuse what no result could be trusted of, before anything is fitted.

    :returns: what is to be warned of.
    :raises TrainingRefusedError: see :func:`lusfx.splits.check_trainable`.
    """
    warnings = []
    for number, name in enumerate(card.outcomes):
        rows = samples.known(number)
        targets, question = samples.targets[rows, number], f"{card.name}: {name}"
        check_trainable(
            targets, samples.groups[rows], samples.keys[rows], samples.units.finite[rows], n_folds, question
        )
        warnings += training_warnings(targets, question)
    return warnings


def judged_outcome(
    name: str,
    number: int,
    learnt: LearntOutcome,
    validation: CrossValidation,
    samples: Samples[UnitFeatures],
    seed: int,
) -> OutcomeResult:
    """One outcome with the figures that its cross-validation gives.

    :param number: of the outcome among the task's.
    :param learnt: on all patients.
    :raises TrainingRefusedError: if what was learnt is of another kind than what the figures are of.
    """
    targets, groups = samples.targets[validation.rows, number], samples.groups[validation.rows]
    own = learnt.probabilities(samples.units.take(validation.rows))
    differences = [
        unlike(own, unseen, targets, folds, spread_share=0)
        for unseen, folds in zip(validation.probabilities, validation.folds, strict=True)
    ]
    if all(differences):
        raise TrainingRefusedError(
            f"{name}: the model that was learnt of all patients {differences[0]}. The figures are not this model's, so it is "
            "not saved: choose another head or other settings, or another seed (--seed)"
        )
    return OutcomeResult(
        name=name,
        learnt=learnt,
        validation=validation,
        metrics=summary(targets, validation.probabilities, groups, seed=seed, folds=validation.folds),
        performances={
            point: performance(targets, answers, groups, seed=seed) for point, answers in validation.answers.items()
        },
        targets=targets,
    )


def figures_of_task(
    task: Task, card: TaskCard, samples: Samples[U], outcomes: Sequence[OutcomeResult], seed: int
) -> tuple[dict[str, Interval], NDArray[np.float64] | None]:
    """Figures of the task as a whole, where it has several outcomes, and of multi-class and ordinal tasks the mean over
    repeats of how many units of each class were answered to be of which.
    """
    decides = next(iter(task.operating_points))
    shape = (len(outcomes[0].validation.probabilities), len(samples), len(outcomes))
    probabilities, decisions, folds = np.full(shape, np.nan), np.zeros(shape, np.bool_), np.zeros(shape, np.int64)
    for number, outcome in enumerate(outcomes):
        probabilities[:, outcome.validation.rows, number] = outcome.validation.probabilities
        decisions[:, outcome.validation.rows, number] = outcome.validation.answers[decides]
        folds[:, outcome.validation.rows, number] = outcome.validation.folds
    figures = task_figures(
        card, samples.targets, samples.classes, probabilities, decisions, samples.groups, seed=seed, folds=folds
    )
    if card.kind not in ("multi-class", "ordinal"):
        return figures, None
    tables = [confusion(card, samples.classes, p, d) for p, d in zip(probabilities, decisions, strict=True)]
    return figures, np.asarray(np.mean(tables, axis=0), np.float64)


def novelty_folds(samples: Samples[UnitFeatures], n_folds: int) -> list[Fold]:
    """Folds by patient for :func:`novelty_of`, where the encoder has seen none of the patients."""
    from sklearn.model_selection import GroupKFold

    splits = GroupKFold(n_folds).split(samples.units.centres, groups=numbered(samples.groups))
    return [Fold(train, test) for train, test in splits]


def novelty_of(card: TaskCard, samples: Samples[UnitFeatures], folds: Sequence[Fold]) -> tuple[Novelty, float] | None:
    """What measures the distance from all samples, and the limit of it; None where nothing can and the task needs none.

    :param folds: the limit is taken from the distances of each fold's test side to its training side.
    :raises TrainingRefusedError: if the task abstains far from the training set, and no distance can be measured.
    """
    familiar = card.abstain.familiar
    try:
        novelty, limit = _novelty_of(samples, folds, familiar or USUAL_SHARE)
    except TrainingRefusedError:
        if familiar is not None:
            raise
        return None
    return (novelty, limit) if limit > 0 or familiar is not None else None


def _novelty_of(samples: Samples[UnitFeatures], folds: Sequence[Fold], familiar: float) -> tuple[Novelty, float]:
    centres, groups = samples.units.centres, samples.groups
    distances: list[NDArray[np.float64]] = [
        fit_novelty(centres[fold.train], groups[fold.train]).distance(centres[fold.test]) for fold in folds
    ]
    return fit_novelty(centres, groups), familiar_limit(np.concatenate(distances), familiar)


def save_model(result: TrainingResult, own_encoder: Path | None = None) -> TrainingResult:
    """Write the task model with its evidence and its report.

    :param own_encoder: encoder directory that goes into the task model.
    :returns: the result with the model's digest.
    """
    kept = place_of_old(result.out)
    digest = save_task_model(
        result.out,
        result.facts(),
        result.files(),
        result.evidence(),
        render(training_page(result)),
        own_encoder=own_encoder,
    )
    warnings = (
        [] if kept is None else [f"the task model that was there is kept beside it, its name ending in {kept.suffix}"]
    )
    return replace(result, digest=digest, warnings=[*result.warnings, *warnings])
