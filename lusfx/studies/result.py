"""What a study found: its rows, what they rest on, and how it is said in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lusfx.messages import counted
from lusfx.shown import Shown
from lusfx.studies.choice import Choices
from lusfx.studies.config import CHOSEN, LOCAL, MEAN, StudyConfig
from lusfx.studies.costs import CostRow
from lusfx.studies.figures import StudyRow
from lusfx.studies.plan import StudyPlan


@dataclass(frozen=True, slots=True, repr=False)
class StudyResult(Shown):
    """A study's results, all of them or those that there are yet.

    :param n_runs: trainings in all; ``n_done`` of them have scores, ``n_new`` of these since this call.
    :param n_cells_missing: cells of the table without all their runs; they have no row.
    :param warnings: what whoever reads the result must know.
    :param choices: what was chosen, and ``costs`` what choosing cost; nothing where the study has no choice.
    """

    plan: StudyPlan
    out: Path
    rows: Sequence[StudyRow]
    n_runs: int
    n_done: int
    n_new: int
    n_cells_missing: int
    warnings: Sequence[str]
    choices: Choices
    costs: Sequence[CostRow]

    @property
    def config(self) -> StudyConfig:
        return self.plan.config

    @property
    def complete(self) -> bool:
        """Whether every training was done."""
        return self.n_done == self.n_runs

    def headline(self) -> StudyRow | None:
        """The highest of all on the local test set by the mean over tasks, or by the only task, from the most labels."""
        rows = [row for row in self._headlines() if not self.is_chosen(row)]
        return max(rows, key=lambda row: row.auc.value, default=None)

    def chosen_headline(self) -> StudyRow | None:
        """The chosen procedure's row of the same figure; None where nothing is chosen for it."""
        return next((row for row in self._headlines() if self.is_chosen(row)), None)

    def is_chosen(self, row: StudyRow) -> bool:
        """Whether a row is of the chosen procedure."""
        return self.config.choice is not None and (row.encoder, row.way) == (CHOSEN, self.config.choice.name)

    def _headlines(self) -> list[StudyRow]:
        task = MEAN if len(self.plan.questions) > 1 else self.plan.questions[0].name
        most = max(self.config.fractions)
        return [r for r in self.rows if (r.task, r.fraction, r.test_set) == (task, most, LOCAL) and r.auc.value >= 0]

    def summary(self) -> str:
        """One line that adds up, the highest of all, and what choosing within the training patients gives."""
        left = self.n_runs - self.n_done
        runs = f"{counted(self.n_runs, 'run')} = {self.n_new} new + {self.n_done - self.n_new} found + {left} left"
        best = self.headline()
        if best is None:
            return runs
        said = f"highest {'mean ' if best.n_tasks > 1 else ''}AUC on '{LOCAL}': {best.encoder}, {best.way}, {best.auc}"
        chosen = self.chosen_headline()
        return f"{runs}; {said}{f'; {chosen.way}: {chosen.auc}' if chosen else ''}"

    def as_dict(self) -> dict[str, Any]:
        """For programs: what ``lusfx study --json`` prints."""
        return {
            "n_runs": self.n_runs,
            "n_done": self.n_done,
            "n_new": self.n_new,
            "n_cells_missing": self.n_cells_missing,
            "rows": [row.cells() for row in self.rows],
            "costs": [row.cells() for row in self.costs],
            "warnings": list(self.warnings),
        }
