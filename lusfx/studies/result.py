"""What a study found: its rows, what they rest on, and how it is said in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lusfx.studies.config import LOCAL, MEAN, StudyConfig
from lusfx.studies.figures import StudyRow
from lusfx.studies.plan import StudyPlan


@dataclass(frozen=True, slots=True)
class StudyResult:
    """A study's results, all of them or those that there are yet.

    :param n_runs: trainings in all; ``n_done`` of them have scores, ``n_new`` of these since this call.
    :param n_cells_missing: cells of the table without all their runs; they have no row.
    :param warnings: what whoever reads the result must know.
    """

    plan: StudyPlan
    out: Path
    rows: Sequence[StudyRow]
    n_runs: int
    n_done: int
    n_new: int
    n_cells_missing: int
    warnings: Sequence[str]

    @property
    def config(self) -> StudyConfig:
        return self.plan.config

    @property
    def complete(self) -> bool:
        """Whether every training was done."""
        return self.n_done == self.n_runs

    def headline(self) -> StudyRow | None:
        """The best of all on the local test set by the mean over tasks, or by the only task, from the most labels."""
        task = MEAN if len(self.plan.questions) > 1 else self.plan.questions[0].name
        most = max(self.config.fractions)
        rows = [r for r in self.rows if (r.task, r.fraction, r.test_set) == (task, most, LOCAL) and r.auc.value >= 0]
        return max(rows, key=lambda row: row.auc.value, default=None)

    def summary(self) -> str:
        """One line that adds up, and the best of all."""
        left = self.n_runs - self.n_done
        runs = f"{self.n_runs} runs = {self.n_new} new + {self.n_done - self.n_new} found + {left} left"
        best = self.headline()
        if best is None:
            return runs
        said = f"highest {'mean ' if best.n_tasks > 1 else ''}AUC on '{LOCAL}': {best.encoder}, {best.way}, {best.auc}"
        return f"{runs}; {said}"

    def as_dict(self) -> dict[str, Any]:
        """For programs: what ``lusfx study --json`` prints."""
        return {
            "n_runs": self.n_runs,
            "n_done": self.n_done,
            "n_new": self.n_new,
            "n_cells_missing": self.n_cells_missing,
            "rows": [row.cells() for row in self.rows],
            "warnings": list(self.warnings),
        }
