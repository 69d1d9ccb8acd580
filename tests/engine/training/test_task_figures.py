"""Figures of tasks with several outcomes, against scikit-learn's on the same answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as reference

from lusfx.contracts import UNKNOWN, Task
from lusfx.engine.training.task_figures import mean_roc_auc, task_figures
from lusfx.engine.training.train import train_task
from lusfx.metrics import Interval
from lusfx.task_model import TaskCard
from lusfx.testing.small_cache import SmallCache

N = 60
GROUPS = np.array([f"p-{number // 3:02}" for number in range(N)])


class Effusion(Task):
    """Effusion, one answer a clip."""

    name = "effusion"
    label_columns = ("effusion",)


class Organ(Task):
    """What is shown."""

    name, kind = "organ", "multi-class"
    classes = ("lung", "liver", "spleen")
    label_columns = ("organ",)


class Grade(Task):
    """How severe it is."""

    name, kind = "grade", "ordinal"
    classes = ("0", "1", "2", "3")
    label_columns = ("grade",)


class Signs(Task):
    """Signs, each seen or not."""

    name, kind = "signs", "multi-label"
    classes = label_columns = ("a", "b", "c")


def figures_of(
    task: Task,
    targets: np.ndarray,
    classes: np.ndarray,
    probabilities: np.ndarray,
    folds: np.ndarray | None = None,
    decisions: np.ndarray | None = None,
) -> dict[str, Interval]:
    decided = probabilities >= 0.5 if decisions is None else decisions
    return task_figures(TaskCard.of(task), targets, classes, probabilities, decided, GROUPS, seed=0, folds=folds)


@pytest.fixture
def classes(generator: np.random.Generator) -> np.ndarray:
    return generator.integers(0, 3, N)


def outcomes_of(task: Task, classes: np.ndarray) -> np.ndarray:
    return np.array([task.outcome_targets(int(number)) for number in classes])


def test_a_binary_task_s_outcome_says_it_all(generator: np.random.Generator) -> None:
    targets = generator.integers(0, 2, (N, 1))
    assert figures_of(Effusion(), targets, targets[:, 0], generator.random((2, N, 1))) == {}


def test_a_multi_class_task_is_answered_by_its_most_probable_class(
    generator: np.random.Generator, classes: np.ndarray
) -> None:
    targets = outcomes_of(Organ(), classes)
    probabilities = np.clip(0.3 * targets + 0.7 * generator.random((2, N, 3)), 0, 1)
    figures = figures_of(Organ(), targets, classes, probabilities)
    assert list(figures) == ["mean_roc_auc", "balanced_accuracy"]
    mean = np.mean([reference.roc_auc_score(targets, repeat, average="macro") for repeat in probabilities])
    assert figures["mean_roc_auc"].value == pytest.approx(mean)
    accuracy = [reference.balanced_accuracy_score(classes, repeat.argmax(axis=1)) for repeat in probabilities]
    assert figures["balanced_accuracy"].value == pytest.approx(np.mean(accuracy))
    assert figures["balanced_accuracy"].low < np.mean(accuracy) < figures["balanced_accuracy"].high


def test_a_level_is_the_highest_that_is_reached_without_a_step_being_denied(generator: np.random.Generator) -> None:
    levels = generator.integers(0, 4, N)
    targets = outcomes_of(Grade(), levels)
    probabilities = np.clip(0.3 * targets + 0.7 * generator.random((2, N, 3)), 0, 1)
    figures = figures_of(Grade(), targets, levels, probabilities)
    answers = []
    for repeat in probabilities:
        said = [[*(step >= 0.5 for step in unit), False].index(False) for unit in repeat]
        answers.append(np.array(said))
    assert len(np.unique(answers)) == 4
    for name, rival in (
        ("quadratic_weighted_kappa", lambda a, b: reference.cohen_kappa_score(a, b, weights="quadratic")),
        ("mean_absolute_error", reference.mean_absolute_error),
        ("balanced_accuracy", reference.balanced_accuracy_score),
    ):
        assert figures[name].value == pytest.approx(np.mean([rival(levels, answer) for answer in answers])), name
    assert set(figures) == {
        "mean_roc_auc",
        "quadratic_weighted_kappa",
        "mean_absolute_error",
        "balanced_accuracy",
    }


def test_decisions_and_not_one_half_make_the_answered_level(generator: np.random.Generator) -> None:
    levels = generator.integers(0, 4, N)
    targets = outcomes_of(Grade(), levels)
    right = figures_of(Grade(), targets, levels, np.full((1, N, 3), 0.1), decisions=targets[None] == 1)
    assert right["quadratic_weighted_kappa"].value == pytest.approx(1)
    assert right["mean_absolute_error"].value == 0
    assert right["mean_roc_auc"].value == pytest.approx(0.5)


def test_labels_that_are_not_known_take_no_part(generator: np.random.Generator) -> None:
    targets = generator.integers(0, 2, (N, 3))
    targets[generator.random((N, 3)) < 0.3] = UNKNOWN
    probabilities = np.where(targets == UNKNOWN, np.nan, generator.random((2, N, 3)))
    figures = figures_of(Signs(), targets, np.full(N, UNKNOWN), probabilities)
    assert list(figures) == ["mean_roc_auc"]
    aucs = [
        reference.roc_auc_score(column[column != UNKNOWN], repeat[column != UNKNOWN, number])
        for repeat in probabilities
        for number, column in enumerate(targets.T)
    ]
    assert figures["mean_roc_auc"].value == pytest.approx(np.mean(aucs))


def test_aucs_are_taken_within_the_folds_of_each_outcome(generator: np.random.Generator) -> None:
    targets = generator.integers(0, 2, (N, 3))
    folds = generator.integers(0, 4, (2, N, 3))
    probabilities = generator.random((2, N, 3)) + 10 * folds
    figures = figures_of(Signs(), targets, np.full(N, UNKNOWN), probabilities, folds)
    aucs = []
    for repeat in range(2):
        for outcome in range(3):
            right = compared = 0.0
            for fold in range(4):
                here = folds[repeat, :, outcome] == fold
                n_yes, n_no = targets[here, outcome].sum(), (1 - targets[here, outcome]).sum()
                auc = reference.roc_auc_score(targets[here, outcome], probabilities[repeat, here, outcome])
                right, compared = right + n_yes * n_no * auc, compared + n_yes * n_no
            aucs.append(right / compared)
    assert figures["mean_roc_auc"].value == pytest.approx(np.mean(aucs))


def test_the_mean_of_aucs_does_not_exist_where_one_does_not(generator: np.random.Generator) -> None:
    """The mean of the others would be another figure, and not to be told apart from it."""
    targets = generator.integers(0, 2, (N, 3))
    targets[:, 1] = 1
    assert np.isnan(mean_roc_auc(np.zeros((N, 3), np.int64))(targets, generator.random((N, 3))))


@pytest.mark.slow
@pytest.mark.parametrize("task", [Organ(), Grade(), Signs()], ids=lambda task: task.name)
def test_a_trained_task_s_figures_are_those_of_its_scores(
    task: Task, small_cache_of: Callable[..., SmallCache], tmp_path: Path
) -> None:
    small = small_cache_of(task, n_patients=24)
    (result,) = train_task(
        [task], small.labels, small.cache, tmp_path / "model", n_folds=2, n_repeats=2, site_key=small.site_key
    )
    validations = [outcome.validation for outcome in result.outcomes]
    probabilities = np.stack([validation.probabilities for validation in validations], axis=2)
    folds = np.stack([validation.folds for validation in validations], axis=2)
    aucs = []
    for repeat in range(2):
        for number, outcome in enumerate(result.outcomes):
            heads = [folds[repeat, :, number] == fold for fold in range(2)]
            counts = [outcome.targets[here].sum() * (1 - outcome.targets[here]).sum() for here in heads]
            each = [
                reference.roc_auc_score(outcome.targets[here], probabilities[repeat, here, number]) for here in heads
            ]
            aucs.append(np.average(each, weights=counts))
    assert result.figures["mean_roc_auc"].value == pytest.approx(np.mean(aucs))
    assert f"mean cross-validated AUC {result.figures['mean_roc_auc']}" in result.summary()
    if task.kind == "multi-class":
        answers = probabilities.argmax(axis=2)
    elif task.kind == "ordinal":
        decisions = np.stack([validation.answers["balanced"] for validation in validations], axis=2)
        answers = np.array([[[*unit, False].index(False) for unit in repeat] for repeat in decisions.tolist()])
        kappas = [
            reference.cohen_kappa_score(result.samples.classes, answer, weights="quadratic") for answer in answers
        ]
        assert result.figures["quadratic_weighted_kappa"].value == pytest.approx(np.mean(kappas))
    else:
        assert set(result.figures) == {"mean_roc_auc"}
        return
    accuracies = [reference.balanced_accuracy_score(result.samples.classes, answer) for answer in answers]
    assert result.figures["balanced_accuracy"].value == pytest.approx(np.mean(accuracies))
