"""What training found out: what is printed, what is kept as evidence, and what the task model says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lusfx.config import Precision
from lusfx.contracts import OperatingPoint, Task
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.copied_clips import NONE_COPIED, CopiedClips
from lusfx.engine.training.cross_validation import CrossValidation
from lusfx.engine.training.learner import LearntOutcome
from lusfx.engine.training.learning_curve import LearningCurve
from lusfx.engine.training.search import SearchBenefit
from lusfx.errors import TrainingRefusedError
from lusfx.messages import counted, short
from lusfx.metrics import Interval, Performance
from lusfx.novelty import Novelty
from lusfx.report import Section
from lusfx.shown import Shown
from lusfx.task_model import (
    NOVELTY_FILE,
    FeaturesCard,
    HeadCard,
    NoveltyCard,
    OperatingPointCard,
    OutcomeCard,
    RuleCard,
    TaskCard,
    TaskModel,
    TaskModelFacts,
    TrainingCard,
    UnitFeatures,
    calibration_card,
    head_file,
)
from lusfx.version import __version__


class NetworkRecord(Protocol):
    """How the encoder that a task model brings along was trained; told by whoever trained it."""

    @property
    def own_encoder(self) -> str:
        """SHA-256 of the encoder's card."""

    def as_dict(self) -> dict[str, Any]:
        """For programs, and for the evidence."""

    def section(self) -> Section:
        """For the report."""


@dataclass(frozen=True, slots=True)
class OutcomeResult:
    """One outcome: its head, and what cross-validation says of the procedure that made it.

    :param metrics: ROC AUC, average precision, Brier score.
    :param performances: by operating point, at thresholds chosen on other patients.
    :param targets: 0 or 1 of each unit whose answer is known, in the order of the validation's arrays.
    """

    name: str
    learnt: LearntOutcome
    validation: CrossValidation
    metrics: Mapping[str, Interval]
    performances: Mapping[str, Performance]
    targets: NDArray[np.int64]

    @property
    def n_units(self) -> int:
        """Units whose answer is known."""
        return len(self.targets)

    @property
    def n_events(self) -> int:
        """Those of them that are yes."""
        return int(self.targets.sum())

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "outcome": self.name,
            "head": self.learnt.candidate.head.name,
            "settings": self.learnt.candidate.settings.model_dump(mode="json"),
            "searched": dict(self.learnt.merits),
            "n_units": self.n_units,
            "n_events": self.n_events,
            "cross_validated": {name: interval.as_dict() for name, interval in self.metrics.items()},
            "operating_points": {
                name: {"threshold": threshold, **self.performances[name].as_dict()}
                for name, threshold in self.learnt.thresholds.items()
            },
        }


@dataclass(frozen=True, slots=True, repr=False)
class TrainingResult(Shown):
    """A saved task model, and what cross-validation says of it.

    :param card: the task as it was trained.
    :param digest: of the model; empty until its files are written.
    :param encoder: its name, for people.
    :param fingerprint: of the features that the heads take.
    :param figures: of the task as a whole, where it has several outcomes.
    :param novelty: what measures the distance from the training set, and the limit of it; None where nothing can.
    :param fine_tuning: how the model's own encoder was made; None where it has none.
    :param copied: clips that look like a clip of another patient.
    :param site_keys: checks of the site keys that the patients' pseudonyms are made with.
    :param precision: what the encoder computed in.
    :param fps: how many frames of each second were encoded; None for all.
    :param confusion: ``(n_classes, n_classes)`` units of each class by the class that was answered, in the mean over
        repeats, of multi-class and ordinal tasks; else None.
    :param recalibrated: the model whose heads these are, where calibration and thresholds alone were fitted; else None.
    :param search: what choosing heads, settings and pooling brought; None where nothing was chosen.
    :param curve: what fewer patients would have reached; None where that was not asked.
    """

    task: Task
    card: TaskCard
    out: Path
    digest: str
    encoder: str
    fingerprint: str
    samples: Samples[UnitFeatures]
    outcomes: Sequence[OutcomeResult]
    figures: Mapping[str, Interval]
    novelty: tuple[Novelty, float] | None
    n_not_known: int
    n_not_cached: int
    warnings: Sequence[str]
    seed: int
    copied: CopiedClips = NONE_COPIED
    site_keys: Sequence[str] = ()
    fine_tuning: NetworkRecord | None = None
    precision: Precision = "float32"
    fps: float | None = None
    confusion: NDArray[np.float64] | None = None
    recalibrated: TaskModel | None = None
    search: SearchBenefit | None = None
    curve: LearningCurve | None = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    @property
    def n_repeats(self) -> int:
        return len(self.outcomes[0].validation.probabilities)

    def summary(self) -> str:
        """One line: the answer."""
        samples, first = self.samples, self.outcomes[0]
        source = f"{counted(len(samples), self.card.unit)} of {counted(samples.n_patients, 'patient')}"
        closing = f"{self.n_not_known} not known); model {short(self.digest)}"
        if self.card.kind == "binary":
            return (
                f"{self.card.name}: cross-validated AUC {first.metrics['roc_auc']} from {source} "
                f"({first.n_events} '{first.name}', {closing}"
            )
        each = "; ".join(f"{outcome.name} {outcome.metrics['roc_auc']}" for outcome in self.outcomes)
        return (
            f"{self.card.name}: mean cross-validated AUC {self.figures['mean_roc_auc']} from {source} "
            f"({each}; {closing}"
        )

    def table_cells(self) -> list[list[str]]:
        """Each outcome with its cross-validated figures."""
        return metric_cells(
            {outcome.name: (outcome.n_units, outcome.n_events, outcome.metrics) for outcome in self.outcomes}
        )

    def as_dict(self) -> dict[str, Any]:
        """For programs: what ``lusfx train-task --json`` prints."""
        return {
            "task": self.card.name,
            "model": f"{self.card.name}@{short(self.digest)}",
            "digest": self.digest,
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            "unit": self.card.unit,
            "kind": self.card.kind,
            "pooling": self.card.pooling,
            "aggregate": None if self.card.aggregate is None else self.card.aggregate.model_dump(mode="json"),
            "search": None if self.search is None else self.search.as_dict(),
            "learning_curve": None if self.curve is None else self.curve.as_dict(),
            "n_units": len(self.samples),
            "n_clips": len(self.samples.clips),
            "n_patients": self.samples.n_patients,
            "n_repeats": self.n_repeats,
            "n_not_known": self.n_not_known,
            "n_not_cached": self.n_not_cached,
            "n_not_assessable": dict(self.samples.reasons),
            "weak_labels": self.samples.weak_labels,
            "near_duplicates": self.copied.as_dict(),
            "figures": {name: interval.as_dict() for name, interval in self.figures.items()},
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "outcomes": [outcome.as_dict() for outcome in self.outcomes],
            "recalibrated_from": None if self.recalibrated is None else self.recalibrated.digest,
            "trained_on": None if self.recalibrated is None else self.recalibrated.card.trained_on,
            "familiar_limit": None if self.novelty is None else self.novelty[1],
            "warnings": list(self.warnings),
        } | self._of_fine_tuning()

    def facts(self) -> TaskModelFacts:
        """What the task model says of itself."""
        samples, before = self.samples, self.recalibrated
        counted = None if before is None else before.card.training
        return TaskModelFacts(
            task=self.card,
            features=FeaturesCard(
                fingerprint=self.fingerprint,
                encoder=self.encoder,
                dim=samples.units.centres.shape[1],
                n_features=samples.units.n_features,
                precision=self.precision,
                fps=self.fps,
            ),
            outcomes=tuple(_outcome_card(outcome, self.task.operating_points) for outcome in self.outcomes),
            own_encoder=self._own_encoder,
            recalibrated_from=None if before is None else before.digest,
            trained_on=None if before is None else before.card.trained_on,
            novelty=None if self.novelty is None else NoveltyCard(limit=self.novelty[1]),
            training=TrainingCard(
                n_units=len(samples) + (counted.n_units if counted else 0),
                n_clips=len(samples.clips) + (counted.n_clips if counted else 0),
                n_patients=samples.n_patients + (counted.n_patients if counted else 0),
                weak_labels=samples.weak_labels or (counted is not None and counted.weak_labels),
                seed=self.seed,
                lusfx_version=__version__,
                created=self.created,
            ),
        )

    def files(self) -> dict[str, bytes]:
        """The task model's own files: those of each head, and of the novelty."""
        files = {
            head_file(number, name): content
            for number, outcome in enumerate(self.outcomes)
            for name, content in outcome.learnt.head.files().items()
        }
        return files if self.novelty is None else files | {NOVELTY_FILE: self.novelty[0].to_bytes()}

    def evidence(self) -> dict[str, Any]:
        """Everything that the report's figures can be computed again from."""
        samples = self.samples
        before: Mapping[str, Any] = {} if self.recalibrated is None else self.recalibrated.evidence
        return {
            # No evaluation may judge the model on units that any part of it was fitted to.
            "clips": sorted({*samples.clips, *before.get("clips", ())}),
            "patients": sorted({*samples.groups.tolist(), *before.get("patients", ())}),
            "pseudonyms": sorted({*samples.known_pseudonyms, *before.get("pseudonyms", ())}),
            "site_keys": sorted({*self.site_keys, *before.get("site_keys", ())}),
            "not_assessable": dict(samples.reasons),
            "figures": {name: interval.as_dict() for name, interval in self.figures.items()},
            "outcomes": {outcome.name: _outcome_evidence(outcome, samples) for outcome in self.outcomes},
            "warnings": list(self.warnings),
            **({} if self.search is None else {"search": self.search.as_dict()}),
            **({} if self.curve is None else {"learning_curve": self.curve.as_dict()}),
        } | self._of_fine_tuning()

    @property
    def _own_encoder(self) -> str | None:
        if self.recalibrated is not None:
            return self.recalibrated.card.own_encoder
        return None if self.fine_tuning is None else self.fine_tuning.own_encoder

    def _of_fine_tuning(self) -> dict[str, Any]:
        return {} if self.fine_tuning is None else {"fine_tuning": self.fine_tuning.as_dict()}


class SomeRefusedError(TrainingRefusedError):
    """Some of several tasks were refused, or all of them; the others were trained, and their models are saved.

    :param refused: why, by task.
    :param results: of the others.
    """

    def __init__(self, refused: Mapping[str, str], results: Sequence[TrainingResult]) -> None:
        super().__init__("; ".join(f"{task} is refused: {reason}" for task, reason in refused.items()))
        self.refused = dict(refused)
        self.results = list(results)


def metric_cells(outcomes: Mapping[str, tuple[int, int, Mapping[str, Interval]]]) -> list[list[str]]:
    """Rows for a notebook: each outcome's units, those of them that are yes, and its figures with their intervals."""
    metrics = list(dict.fromkeys(name for _, _, figures in outcomes.values() for name in figures))
    header = ["outcome", "units", "yes", *(name.replace("_", " ") for name in metrics)]
    return [header] + [
        [name, str(n_units), str(n_events), *(str(figures.get(metric, "")) for metric in metrics)]
        for name, (n_units, n_events, figures) in outcomes.items()
    ]


def _outcome_card(outcome: OutcomeResult, rules: Mapping[str, OperatingPoint]) -> OutcomeCard:
    learnt = outcome.learnt
    return OutcomeCard(
        name=outcome.name,
        head=HeadCard(name=learnt.candidate.head.name, settings=learnt.candidate.settings.model_dump(mode="json")),
        calibration=calibration_card(learnt.calibration),
        operating_points={
            name: OperatingPointCard(rule=RuleCard.of(rule), threshold=learnt.thresholds[name])
            for name, rule in rules.items()
        },
        decides=next(iter(rules)),
        n_units=outcome.n_units,
        n_events=outcome.n_events,
    )


def _outcome_evidence(outcome: OutcomeResult, samples: Samples[UnitFeatures]) -> dict[str, Any]:
    validation = outcome.validation
    return {
        "metrics": {name: interval.as_dict() for name, interval in outcome.metrics.items()},
        "operating_points": {name: value.as_dict() for name, value in outcome.performances.items()},
        "searched": dict(outcome.learnt.merits),
        "cross_validation": {
            "unit": samples.keys[validation.rows].tolist(),
            "patient": samples.groups[validation.rows].tolist(),
            "target": outcome.targets.tolist(),
            "repeats": [
                {
                    "probability": validation.probabilities[repeat].tolist(),
                    "fold": validation.folds[repeat].tolist(),
                    "answers": {name: answers[repeat].tolist() for name, answers in validation.answers.items()},
                    "chosen": validation.chosen[repeat],
                }
                for repeat in range(len(validation.probabilities))
            ],
        },
    }
