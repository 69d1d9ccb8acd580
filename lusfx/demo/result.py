"""What the demo found out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lusfx.demo.hospital import PatientSet
from lusfx.demo.saving import Saving
from lusfx.engine.evaluation.result import EvaluationResult
from lusfx.engine.extraction.extract import ExtractResult
from lusfx.engine.scoring.result import ScoreResult
from lusfx.engine.training.result import TrainingResult
from lusfx.shown import Shown


@dataclass(frozen=True, slots=True)
class Stage:
    """A step that is done.

    :param name: one word; ``said`` is one line.
    :param first_s: seconds that the same step took when there was nothing to find yet; None of steps that are always done,
        and in the run that made it all.
    """

    name: str
    said: str
    seconds: float
    first_s: float | None = None

    @property
    def times_faster(self) -> float | None:
        """How much faster than when there was nothing to find yet."""
        return None if self.first_s is None else self.first_s / max(self.seconds, 1e-3)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One question: the model, and what it achieves on patients of its own site and of another."""

    trained: TrainingResult
    local: EvaluationResult
    external: EvaluationResult

    @property
    def name(self) -> str:
        return self.trained.card.name


@dataclass(frozen=True, slots=True, repr=False)
class DemoResult(Shown):
    """All of the demo. Its patients are synthetic, and its figures say nothing about real ones."""

    page: Path
    n_patients: int
    seed: int
    sets: Sequence[PatientSet]
    n_drawn: int
    extraction: ExtractResult
    tasks: Sequence[TaskResult]
    scored: ScoreResult
    saving: Saving
    stages: Sequence[Stage]

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages)

    @property
    def all_found(self) -> bool:
        """Whether an earlier run had drawn and encoded everything."""
        return not self.n_drawn and self.extraction.counts["cached"] == self.extraction.found

    def summary(self) -> str:
        """One line."""
        tasks = ", ".join(task.name for task in self.tasks)
        return f"{self.n_patients} synthetic patients, models of {tasks}; see {self.page.name}"

    def as_dict(self) -> dict[str, Any]:
        """For programs: what ``lusfx demo --json`` prints."""
        return {
            "synthetic": True,
            "patients": self.n_patients,
            "seed": self.seed,
            "sets": [
                {"set": each.name, "site": each.site, "patients": each.n_patients, "clips": each.n_clips}
                for each in self.sets
            ],
            "patients_drawn": self.n_drawn,
            "all_found": self.all_found,
            "seconds": self.seconds,
            "stages": [_stage(stage) for stage in self.stages],
            "extraction": self.extraction.as_dict(),
            "tasks": [
                {
                    "task": task.name,
                    "trained": task.trained.as_dict(),
                    "local": task.local.as_dict(),
                    "external": task.external.as_dict(),
                }
                for task in self.tasks
            ],
            "scored": self.scored.as_dict(),
            "saving": self.saving.as_dict(),
        }


def _stage(stage: Stage) -> Mapping[str, Any]:
    return {
        "stage": stage.name,
        "seconds": stage.seconds,
        "first_seconds": stage.first_s,
        "times_faster": stage.times_faster,
        "said": stage.said,
    }
