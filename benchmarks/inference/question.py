"""Task models of made-up questions: weights by chance, written and loaded as every task model is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.inference.subject import Subject
from lusfx.calibration import PlattCalibration
from lusfx.contracts import Head, Task, Youden
from lusfx.heads.linear import LogisticHead, LogisticSettings
from lusfx.heads.mlp import MlpHead, MlpSettings
from lusfx.heads.penalised_network import Weights
from lusfx.heads.standardiser import Standardiser
from lusfx.plugins import Registry
from lusfx.task_model import (
    FeaturesCard,
    HeadCard,
    OperatingPointCard,
    OutcomeCard,
    RuleCard,
    TaskCard,
    TaskModel,
    TaskModelFacts,
    TrainingCard,
    calibration_card,
    head_file,
    load_task_model,
    save_task_model,
)
from lusfx.version import __version__

HEADS = ("logistic", "mlp")
CALIBRATION = PlattCalibration(slope=1.2, intercept=-0.1)
"""Platt's is the default of ``train-task``, so the heads pay for it here as they do there."""
MADE_UP = 2
"""What the card says of units, clips and patients that there are not."""


class Question(Task):
    """A made-up question, one answer a clip."""

    name = "question"
    label_columns = ("question",)
    pooling = "mean"


@dataclass(frozen=True, slots=True)
class Linear:
    """What a calibrated logistic head comes to: one linear layer before a sigmoid.

    :param weight: ``(dim,)`` float32; ``bias`` in log odds.
    """

    weight: NDArray[np.float32]
    bias: float


@dataclass(frozen=True, slots=True)
class Questions:
    """The same questions with each kind of head.

    :param models: by kind of head, a model a question; ``places`` are their directories.
    :param linear: a layer a question, which gives the scores of its logistic head.
    """

    models: Mapping[str, list[TaskModel]]
    places: Mapping[str, list[Path]]
    linear: list[Linear]


def make_questions(
    n: int,
    subject: Subject,
    embeddings: NDArray[np.float32],
    folder: Path,
    registry: Registry,
    unit: Literal["clip", "frame"] = "clip",
) -> Questions:
    """Make task models whose scores are neither all 0 nor all 1.

    :param embeddings: ``(n_frames, dim)`` of some frames, to scale by.
    :param unit: what the questions are asked of.
    """
    generator = np.random.default_rng(0)
    scale = _scale(embeddings)
    places: dict[str, list[Path]] = {kind: [] for kind in HEADS}
    linear = []
    for number in range(n):
        logistic, layer = _logistic(scale, generator)
        linear.append(layer)
        for kind, head in (("logistic", logistic), ("mlp", _mlp(scale, generator))):
            place = folder / f"{kind}-{number}"
            _save(place, number, kind, head, subject, unit)
            places[kind].append(place)
    heads = registry.heads.as_mapping()
    return Questions(
        {kind: [load_task_model(place, heads) for place in found] for kind, found in places.items()}, places, linear
    )


def _scale(embeddings: NDArray[np.float32]) -> Standardiser:
    """One scale for all features: those of an untrained network may vary by next to nothing, and dividing by that would
    let through what two runtimes round apart.
    """
    mean = embeddings.mean(axis=0, dtype=np.float64)
    return Standardiser(mean, np.full(len(mean), 1 / embeddings.std(dtype=np.float64)))


def _logistic(scale: Standardiser, generator: np.random.Generator) -> tuple[LogisticHead, Linear]:
    weight = generator.normal(size=scale.n_features) / np.sqrt(scale.n_features)
    bias = generator.normal(size=1)
    inner = weight * scale.inverse_std
    offset = CALIBRATION.slope * float(bias[0] - scale.mean @ inner) + CALIBRATION.intercept
    return LogisticHead(scale, weight, bias), Linear((CALIBRATION.slope * inner).astype(np.float32), offset)


def _mlp(scale: Standardiser, generator: np.random.Generator) -> MlpHead:
    settings, n_features = MlpSettings(), scale.n_features
    n_units = settings.members * settings.hidden
    weights = Weights(
        linear=generator.normal(size=(n_features, 1)) / np.sqrt(n_features),
        hidden=generator.normal(size=(n_features, 1, n_units)) / np.sqrt(n_features),
        hidden_bias=np.zeros((1, n_units)),
        output=generator.normal(size=(1, n_units)) / np.sqrt(n_units),
        bias=np.zeros(1),
    )
    return MlpHead(scale, weights)


def _save(place: Path, number: int, kind: str, head: Head, subject: Subject, unit: Literal["clip", "frame"]) -> None:
    task = TaskCard.of(Question()).model_copy(update={"name": f"question-{number + 1}", "unit": unit})
    settings = LogisticSettings() if kind == "logistic" else MlpSettings()
    outcomes = tuple(
        OutcomeCard(
            name=name,
            head=HeadCard(name=kind, settings=settings.model_dump(mode="json")),
            calibration=calibration_card(CALIBRATION),
            operating_points={"balanced": OperatingPointCard(rule=RuleCard.of(Youden()), threshold=0.5)},
            decides="balanced",
            n_units=MADE_UP,
            n_events=1,
        )
        for name in task.outcomes
    )
    dim = subject.card.identity.dim
    facts = TaskModelFacts(
        task=task,
        features=FeaturesCard(fingerprint=subject.fingerprint, encoder=subject.name, dim=dim, n_features=dim),
        outcomes=outcomes,
        novelty=None,
        training=TrainingCard(
            n_units=MADE_UP,
            n_clips=MADE_UP,
            n_patients=MADE_UP,
            weak_labels=False,
            seed=0,
            lusfx_version=__version__,
            created=datetime.now(UTC),
        ),
    )
    chance = {"value": 0.5, "low": 0.0, "high": 1.0}
    evidence = {
        "patients": [],
        "clips": [],
        "outcomes": {name: {"metrics": {"roc_auc": chance}} for name in task.outcomes},
    }
    files = {head_file(0, name): content for name, content in head.files().items()}
    save_task_model(place, facts, files, evidence, "<!doctype html><title>made up</title>\n")
