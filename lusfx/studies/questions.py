"""The questions of a study: a task's outcome with the tables that it is learnt from and judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lusfx.contracts import Task, check_task
from lusfx.errors import UsageError
from lusfx.plugins import Registry
from lusfx.studies.config import LOCAL, MEAN, TRAIN, StudyConfig, TaskEntry


@dataclass(frozen=True, slots=True)
class Question:
    """One yes-or-no question.

    :param name: what tables call it.
    :param outcome: position among the task's outcomes.
    :param train: label table to learn from.
    :param tests: label tables of other patients, by the test set's name.
    """

    name: str
    task: Task
    outcome: int
    train: Path
    tests: Mapping[str, Path]

    @property
    def cross_validated(self) -> bool:
        """Whether the training table is cross-validated, as no local test table is there."""
        return LOCAL not in self.tests

    @property
    def test_sets(self) -> list[str]:
        """Names of what it is judged on, the local one first."""
        return [LOCAL, *(name for name in self.tests if name != LOCAL)]

    @property
    def tables(self) -> dict[str, Path]:
        """All tables: that to learn from as ``train``, and those to test on by name."""
        return {TRAIN: self.train, **self.tests}


def resolve_questions(config: StudyConfig, registry: Registry) -> list[Question]:
    """The study's questions, with the tasks that plugins provide.

    :raises UsageError: if there is no such task or outcome, or two questions have one name.
    """
    questions: dict[str, Question] = {}
    for entry in config.tasks:
        task = registry.task(entry.task)
        check_task(task)
        outcome = _outcome(task, entry)
        several = len(task.outcomes) > 1
        name = entry.name or (f"{task.name}, {task.outcomes[outcome]}" if several else task.name)
        if name in questions or name == MEAN:
            raise UsageError(f"the study's file, tasks: '{name}' stands twice. Give one of them another name")
        train = entry.train or config.train
        assert train is not None  # the config was checked
        questions[name] = Question(name, task, outcome, train, config.tests if entry.tests is None else entry.tests)
    return list(questions.values())


def _outcome(task: Task, entry: TaskEntry) -> int:
    if entry.outcome is None and len(task.outcomes) == 1:
        return 0
    if entry.outcome not in task.outcomes:
        raise UsageError(
            f"task '{task.name}' has the outcomes {', '.join(task.outcomes)}: name one of them as the entry's outcome"
        )
    return task.outcomes.index(entry.outcome)
