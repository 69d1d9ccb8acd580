"""A loaded task model: everything about it was checked, and nothing in it was executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lusfx.calibration import Calibration
from lusfx.contracts import Aggregation, Bags, Features, Head, HeadSpec, Task
from lusfx.errors import FingerprintMismatchError, LusfxError, TaskModelError
from lusfx.foreign_code import ForeignCodeError, call_foreign
from lusfx.messages import counted, short
from lusfx.novelty import Novelty
from lusfx.task_model.card import (
    NOVELTY_FILE,
    OutcomeCard,
    TaskModelCard,
    calibration_of,
    first_problem,
    head_file,
    read_card,
)
from lusfx.task_model.directory import checked_files, models_below
from lusfx.task_model.evidence import EVIDENCE_FILE, check_evidence, most_strings
from lusfx.task_model.own_encoder import OWN_ENCODER
from lusfx.task_model.strict_json import strict_json
from lusfx.task_model.task_card import CUSTOM, TaskCard, ZoneSummaryCard
from lusfx.task_model.training_units import TrainingUnits
from lusfx.task_model.units import UnitFeatures, raw_scores
from lusfx.types import NotAssessable

ROW_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class TaskModel:
    """Trained heads with their task, fingerprint, calibration, operating points and evidence.

    :param card: ``task_model.json``.
    :param heads: one an outcome, in the task's order.
    :param calibrations: likewise; None where the head's own probabilities stand.
    :param aggregation: makes a clip's score of its frames'; None where heads score units whole.
    :param novelty: measures the distance from the training set; None of models of before all had one.
    :param task: the plugin's task, where the model needs its code; else None.
    :param evidence: ``evidence.json``.
    :param digest: SHA-256 of ``task_model.json``, which holds the digests of the other files: one for the whole model.
    :param own_encoder: directory of the encoder that the model brings along; None where it takes another's features.
    """

    card: TaskModelCard
    heads: Sequence[Head]
    calibrations: Sequence[Calibration | None]
    aggregation: Aggregation | None
    novelty: Novelty | None
    task: Task | None
    evidence: Mapping[str, Any]
    digest: str
    own_encoder: Path | None = None

    @property
    def name(self) -> str:
        """Task and digest, ``b-lines@1a2b3c4d5e6f`` say."""
        return f"{self.card.task.name}@{short(self.digest)}"

    @property
    def exam_summary(self) -> ZoneSummaryCard | None:
        """The zones whose answers add up to an exam's; None where the task has none, or the model gives no answers."""
        return None if self.card.orders_only else self.card.task.exam_summary

    @property
    def encoder_argument(self) -> str:
        """What follows ``--encoder`` to make this model's features, for messages, which name no folder."""
        features = self.card.features
        words = [features.encoder if self.own_encoder is None else f"MODEL/{OWN_ENCODER}"]
        if features.precision != "float32":
            words.append(f"--precision {features.precision}")
        if features.fps is not None:
            words.append(f"--fps {str(features.fps).removesuffix('.0')}")
        return " ".join(words)

    def score(self, units: UnitFeatures, fingerprint: str, encoder: str | None = None) -> NDArray[np.float64]:
        """Calibrated probability of yes to each outcome; of a model that only orders units, its score from 0 to 1.

        :param units: made as ``card.task`` says.
        :param fingerprint: of the feature spec that the features were made with.
        :param encoder: name of the encoder that made them, for the message where they do not fit.
        :returns: ``(n, n_outcomes)``, each row from its unit alone.
        :raises FingerprintMismatchError: if the heads were trained on features of another fingerprint.
        :raises TaskModelError: if the features have another length or are not finite.
        """
        self.require_fingerprint(fingerprint, encoder)
        n_features = self.card.features.n_features
        if len(units) == 0:
            return np.empty((0, len(self.heads)))
        if units.n_features != n_features:
            raise TaskModelError(f"{self.name} takes features of length {n_features}, not {units.n_features}")
        if not units.all_finite:
            broken = np.flatnonzero(~units.finite)
            raise TaskModelError(
                f"features are not finite in {len(broken)} of {len(units)} units, first in {broken[0]}"
            )
        probabilities = np.empty((len(units), len(self.heads)))
        for column, (head, calibration) in enumerate(zip(self.heads, self.calibrations, strict=True)):
            scores = raw_scores(head, units, self.aggregation)
            probabilities[:, column] = scores if calibration is None else calibration(scores)
        return probabilities

    def distances(self, units: UnitFeatures) -> NDArray[np.float64]:
        """How far each unit lies from the training set, ``(n,)``, 1 being typical of it; NaN where the model cannot tell."""
        if self.novelty is None or len(units) == 0:
            return np.full(len(units), np.nan)
        return self.novelty.distance(units.centres)

    def unfamiliar(self, distances: NDArray[np.float64]) -> list[NotAssessable | None]:
        """Why each unit is too far from the training set to be answered; None where it is not, or the task answers all.

        :param distances: as :meth:`distances` gives them.
        """
        if self.card.novelty is None or self.card.task.abstain.familiar is None:
            return [None] * len(distances)
        limit = self.card.novelty.limit
        return [
            None
            if distance <= limit  # not where it is NaN
            else NotAssessable("unfamiliar", f"far from the training set: distance {distance:.2f}, limit {limit:.2f}")
            for distance in distances.tolist()
        ]

    def require_fingerprint(self, fingerprint: str, encoder: str | None = None) -> None:
        """Refuse features of another fingerprint, before any of them is read.

        :raises FingerprintMismatchError: naming both, and the command that makes the right ones.
        """
        needed = self.card.features
        if fingerprint == needed.fingerprint:
            return
        offered = f"{encoder or ''}@{short(fingerprint)}"
        raise FingerprintMismatchError(
            f"the features were made by {offered}; {self.name} needs those of {needed.encoder}"
            f"@{short(needed.fingerprint)}. Run: lusfx extract SOURCES... --encoder {self.encoder_argument}"
        )

    def answer(self, probabilities: NDArray[np.float64]) -> str:
        """The task's answer from the probabilities of one unit's outcomes; see :func:`class_numbers`.

        :returns: the name of a class; of a multi-label task, the names of the labels that are present, or ``none``.
        """
        return self.answers(probabilities[None])[0]

    def answers(self, probabilities: NDArray[np.float64]) -> list[str]:
        """:meth:`answer` of each unit.

        :param probabilities: ``(n, n_outcomes)``.
        :raises TaskModelError: if the model only orders units.
        """
        card = self.card.task
        decisions = self.decisions(probabilities)
        if not card.exclusive:
            return [
                "; ".join(name for name, yes in zip(card.classes, each, strict=True) if yes) or "none"
                for each in decisions.tolist()
            ]
        return [card.classes[number] for number in class_numbers(card, probabilities, decisions).tolist()]

    def decisions(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each outcome's probability reaches the threshold that decides, both ``(n, n_outcomes)``.

        :raises TaskModelError: if the model only orders units.
        """
        reached: NDArray[np.bool_] = probabilities >= self._deciding
        return reached

    @cached_property
    def training_units(self) -> TrainingUnits:
        """What the evidence tells of the units that the model was trained on."""
        return TrainingUnits.of(self.evidence)

    @cached_property
    def _deciding(self) -> NDArray[np.float64]:
        """The threshold that each outcome is decided by, ``(n_outcomes,)``."""
        return np.array([outcome.deciding_threshold for outcome in self.card.outcomes])


def class_numbers(
    card: TaskCard, probabilities: NDArray[np.float64], decisions: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The class that each unit is answered to be of, for tasks whose classes exclude each other.

    Binary: the decision. Multi-class: the most probable class. Ordinal: the highest level that is reached without a step
    being denied below it.

    :param probabilities: ``(n, n_outcomes)``.
    :param decisions: ``(n, n_outcomes)``, whether each outcome's probability reaches its deciding threshold.
    """
    if card.kind == "multi-class":
        return np.asarray(probabilities.argmax(axis=1), np.int64)
    return np.asarray(np.logical_and.accumulate(decisions, axis=1).sum(axis=1), np.int64)


def load_task_model(
    directory: Path, head_specs: Mapping[str, HeadSpec], tasks: Mapping[str, Task] | None = None
) -> TaskModel:
    """Read a task model; see ``docs/task-models.md`` for what is checked, and in which order.

    :param head_specs: the kinds of heads that there are, by name.
    :param tasks: the tasks that plugins provide, for models that need their code.
    :raises TaskModelError: if the directory is incomplete, altered or invalid, or needs a head or task that there is not.
    """
    _require_directory(directory)
    card, digest = read_card(directory)
    contents, problems = checked_files(directory, card)
    for problem in problems:
        raise TaskModelError(f"{problem}. Restore the task model from where it was trained, or train it again.")
    return _assemble(directory, card, digest, contents, head_specs, tasks or {})


def verify_task_model(
    directory: Path, head_specs: Mapping[str, HeadSpec], tasks: Mapping[str, Task] | None = None
) -> list[str]:
    """Check what :func:`load_task_model` checks, and go on after the first problem.

    :returns: one sentence a problem; none where the model can be used.
    """
    try:
        _require_directory(directory)
        card, digest = read_card(directory)
        contents, problems = checked_files(directory, card)
        if not problems:
            _assemble(directory, card, digest, contents, head_specs, tasks or {})
    except TaskModelError as error:
        return [str(error)]
    return problems


def _require_directory(directory: Path) -> None:
    if not directory.is_dir():
        raise TaskModelError("there is no task model directory at the place given")
    if below := models_below(directory):
        raise TaskModelError(
            f"this directory is no task model, and has {counted(len(below), 'task model')} right below it: name one of them"
        )


def _assemble(
    directory: Path,
    card: TaskModelCard,
    digest: str,
    contents: Mapping[str, bytes],
    head_specs: Mapping[str, HeadSpec],
    tasks: Mapping[str, Task],
) -> TaskModel:
    task = _plugin_task(card.task, tasks) if card.task.needs_plugin else None
    novelty = None if card.novelty is None else Novelty.from_bytes(contents[NOVELTY_FILE], card.features.dim)
    return TaskModel(
        card=card,
        heads=[_load_head(card, number, contents, head_specs) for number in range(len(card.outcomes))],
        calibrations=[calibration_of(outcome.calibration) for outcome in card.outcomes],
        aggregation=_aggregation(card.task, task),
        novelty=novelty,
        task=task,
        evidence=_evidence(card, contents[EVIDENCE_FILE]),
        digest=digest,
        own_encoder=None if card.own_encoder is None else directory / OWN_ENCODER,
    )


def _plugin_task(card: TaskCard, tasks: Mapping[str, Task]) -> Task:
    """The installed task whose code the model was trained with.

    :raises TaskModelError: if there is none of that name and version.
    """
    task = tasks.get(card.name)
    if task is None or task.version != card.version:
        found = "which no plugin provides" if task is None else f"and version {task.version} is installed"
        raise TaskModelError(
            f"the task model needs the code of the task '{card.name}', version {card.version}, {found}. See: lusfx plugins"
        )
    return task


def _evidence(card: TaskModelCard, content: bytes) -> dict[str, Any]:
    n_units = (outcome.n_units for outcome in card.outcomes)
    evidence = strict_json(content, EVIDENCE_FILE, most_strings(card.training.n_clips, n_units))
    check_evidence(evidence, card.task.outcomes, orders_only=card.orders_only)
    return evidence


def _aggregation(card: TaskCard, task: Task | None) -> Aggregation | None:
    if card.aggregate is None:
        return None
    if card.aggregate.kind != CUSTOM:
        return card.aggregate.make()
    if task is None or task.aggregate is None:
        raise TaskModelError(f"the installed task '{card.name}' has no aggregation, and the task model needs one")
    return task.aggregate


def _load_head(
    card: TaskModelCard, number: int, contents: Mapping[str, bytes], head_specs: Mapping[str, HeadSpec]
) -> Head:
    outcome = card.outcomes[number]
    spec = head_specs.get(outcome.head.name)
    if spec is None:
        raise TaskModelError(
            f"the task model needs the head '{outcome.head.name}', which no plugin provides; there are "
            f"{', '.join(sorted(head_specs)) or 'none'}. Install the plugin it was trained with; see: lusfx plugins"
        )
    prefix = head_file(number, "")
    files = {name.removeprefix(prefix): content for name, content in contents.items() if name.startswith(prefix)}
    try:
        head, unused = call_foreign(lambda: _tried(spec, outcome, card, files))
    except ForeignCodeError as error:
        raise _head_error(outcome.head.name, error.cause) from None
    if unused:
        raise TaskModelError(f"there are files of the head '{outcome.head.name}' that it does not have ({unused})")
    return head


def _tried(spec: HeadSpec, outcome: OutcomeCard, card: TaskModelCard, files: Mapping[str, bytes]) -> tuple[Head, int]:
    """A head that was loaded and asked, and how many of the files it does not have."""
    spec.settings.model_validate(dict(outcome.head.settings))
    head = spec.load(files)
    _try(head, card)
    return head, len(files.keys() - head.files().keys())


def _head_error(name: str, error: BaseException) -> LusfxError:
    """Heads come from plugins: whatever one raises, the caller gets one kind of error to catch."""
    if isinstance(error, LusfxError):
        return error
    if isinstance(error, ValidationError):
        return TaskModelError(
            f"the head's settings are invalid: {first_problem(error)}. Train it again, or use the lusfx that it "
            "was trained with"
        )
    return TaskModelError(f"the head '{name}' cannot be loaded ({type(error).__name__})")


def _try(head: Head, card: TaskModelCard) -> None:
    """Score two units: a head that belongs to other features, or returns something else than probabilities, ends here."""
    rows = np.zeros((2, card.features.n_features), dtype=np.float32)
    bags = card.task.takes_bags and card.task.aggregate is None
    features: Features = Bags(rows, np.arange(3)) if bags else rows
    answer = head.predict_proba(features)
    if answer.shape != (2, 2):
        raise TaskModelError(f"the head gives answers of shape {answer.shape} for 2 units, where (2, 2) is expected")
    if not (np.abs(answer.sum(axis=1) - 1) <= ROW_SUM_TOLERANCE).all() or (answer < 0).any():
        raise TaskModelError("the head gives answers that are not probabilities")
