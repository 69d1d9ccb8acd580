"""Made-up samples, caches and tables for tests of training, and a head that remembers what it was shown."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import Bags, Features, Head, HeadSettings, HeadSpec, Task, TrainingSet, Youden
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.learner import Candidate, Learner
from lusfx.heads.linear import LogisticHead
from lusfx.heads.standardiser import Standardiser
from lusfx.plugins import Registry, build_registry
from lusfx.task_model import (
    FeaturesCard,
    HeadCard,
    OutcomeCard,
    TaskCard,
    TaskModelFacts,
    TrainingCard,
    UnitFeatures,
    head_file,
    save_task_model,
)
from lusfx.testing.small_cache import SmallCache, make_small_cache

PATIENT, SIGNAL = 0, 1
"""Columns of the features of made-up samples: the patient's number, and what tells the answer."""


class SpySettings(HeadSettings):
    """Settings of the spy.

    :param column: of the features, whose value is the log odds.
    :param sign: 1, or -1 to rank the wrong way round.
    """

    column: int = SIGNAL
    sign: float = 1.0


class SpyHead(Head):
    """Answers by one column, and writes down whose rows it was asked about."""

    def __init__(self, training: TrainingSet, settings: SpySettings, log: list[tuple[str, set[int], set[int]]]) -> None:
        self.training = training
        self.settings = settings
        self.learnt_from = _patients_of(training.features)
        self._log = log

    def predict_proba(self, features: Features) -> np.ndarray:
        rows = features.rows if isinstance(features, Bags) else features
        self._log.append(("score", self.learnt_from, _patients_of(features)))
        yes = 1 / (1 + np.exp(-self.settings.sign * rows[:, self.settings.column].astype(np.float64)))
        return np.stack([1 - yes, yes], axis=1)

    def files(self) -> Mapping[str, bytes]:
        return {"head.txt": b"spy"}


class Spy(HeadSpec):
    """A head that learns nothing. ``heads`` are all that were fitted; ``log`` has each fit and each scoring in order, with
    the patients that were learnt from and those that were asked about.
    """

    name = "spy"
    summary = "writes down what it is shown"
    settings = SpySettings

    def __init__(self) -> None:
        self.heads: list[SpyHead] = []
        self.log: list[tuple[str, set[int], set[int]]] = []

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> SpyHead:
        head = SpyHead(training, SpySettings.model_validate(settings.model_dump()), self.log)
        self.heads.append(head)
        self.log.append(("fit", head.learnt_from, set()))
        return head

    def load(self, files: Mapping[str, bytes]) -> Head:
        raise NotImplementedError


def _patients_of(features: Features) -> set[int]:
    rows = features.rows if isinstance(features, Bags) else features
    return set(rows[:, PATIENT].astype(int).tolist())


def _make_made_up_samples(
    n_patients: int = 20,
    units_per_patient: int = 3,
    signal: float = 2.0,
    dim: int = 6,
    seed: int = 0,
    shuffle: bool = False,
) -> Samples:
    """Units of one outcome; half of the patients have it, and with ``shuffle`` each patient's answer is drawn by lot."""
    generator = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_patients), units_per_patient)
    of_patient = np.arange(n_patients) % 2
    answers = (generator.permutation(of_patient) if shuffle else of_patient)[patient]
    features = generator.normal(size=(len(patient), dim)) + 0.5 * generator.normal(size=(n_patients, dim))[patient]
    features[:, SIGNAL] += signal * (answers - 0.5)
    features[:, PATIENT] = patient
    rows = features.astype(np.float32)
    return Samples(
        keys=np.array([f"{number:064x}" for number in range(len(patient))]),
        groups=np.array([f"p-{number:04d}" for number in patient]),
        targets=answers[:, None].astype(np.int64),
        classes=answers.astype(np.int64),
        weights=np.ones(len(patient)),
        units=UnitFeatures(rows, rows),
        clips=(),
        reasons={},
    )


@pytest.fixture(scope="session")
def made_up_samples() -> Callable[..., Samples]:
    """Makes samples whose first feature is the patient's number and whose second tells the answer."""
    return _make_made_up_samples


@pytest.fixture
def spy() -> Spy:
    """A head that writes down what it is shown."""
    return Spy()


@pytest.fixture
def learner_of() -> Callable[..., Learner]:
    """Makes a learner of heads: kinds of heads, or kinds with settings."""

    def make(*heads: Any, **changes: Any) -> Learner:
        pairs = [head if isinstance(head, tuple) else (head, {}) for head in heads]
        facts: dict[str, Any] = {
            "candidates": [Candidate(spec, spec.settings.model_validate(settings)) for spec, settings in pairs],
            "aggregation": None,
            "frames_per_unit": 16,
            "calibration": "platt",
            "operating_points": {"balanced": Youden()},
            "seed": 0,
            "note": lambda text: None,
        }
        return Learner(**(facts | changes))

    return make


@pytest.fixture(scope="session")
def small_cache_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SmallCache]:
    """Makes the small cache of a task, once for the same wishes. Not to be changed."""
    made: dict[tuple[Any, ...], SmallCache] = {}

    def make(task: Task, **wanted: Any) -> SmallCache:
        name = (task.name, *sorted(wanted.items()))
        if name not in made:
            made[name] = make_small_cache(tmp_path_factory.mktemp("small") / "made", task, **wanted)
        return made[name]

    return make


@pytest.fixture
def write_labels(tmp_path: Path) -> Callable[[Sequence[Mapping[str, str]]], Path]:
    """Writes a label table."""

    def write(rows: Sequence[Mapping[str, str]]) -> Path:
        place = tmp_path / "labels-of-the-test.csv"
        with place.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return place

    return write


@pytest.fixture
def label_rows() -> Callable[[SmallCache], list[dict[str, str]]]:
    """Reads the label table of a small cache, for the test to change and write anew."""

    def read(small: SmallCache) -> list[dict[str, str]]:
        with small.labels.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    return read


@pytest.fixture
def with_tasks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registry]:
    """Makes tasks and heads known to training and judging, as if a plugin provided them."""

    def register(*items: Task | HeadSpec) -> Registry:
        registry = build_registry([])
        for item in items:
            catalogue: Any = registry.tasks if isinstance(item, Task) else registry.heads
            catalogue.add(item.name, item, "a test")
        for module in (
            "lusfx.engine.training.train",
            "lusfx.engine.evaluation.unseen",
            "lusfx.engine.evaluation.recalibrate",
        ):
            monkeypatch.setattr(f"{module}.load_registry", lambda: registry)
        return registry

    return register


@pytest.fixture
def with_starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Task, SmallCache], str]:
    """Makes a starter model come with lusfx, whose outcomes have the first columns of an embedding as log odds; its name."""
    starters = tmp_path / "starters"
    monkeypatch.setattr("lusfx.task_model.starter.STARTERS", starters)

    def write(task: Task, small: SmallCache) -> str:
        card, dim = TaskCard.of(task), small.store.spec.encoder.dim
        training: dict[str, Any] = {"n_units": 60, "n_clips": 60, "n_patients": 20, "weak_labels": False, "seed": 0}
        facts = TaskModelFacts(
            task=card,
            features=FeaturesCard(fingerprint=small.store.fingerprint, encoder="made-up", dim=dim, n_features=dim),
            outcomes=tuple(
                OutcomeCard(
                    name=name,
                    head=HeadCard(name="logistic", settings={}),
                    calibration=None,
                    operating_points={},
                    decides=None,
                    n_units=60,
                    n_events=30,
                )
                for name in card.outcomes
            ),
            novelty=None,
            training=TrainingCard(**training, lusfx_version="0", created=datetime.now(UTC)),
            trained_on="simulated",
        )
        files = {}
        for number in range(len(card.outcomes)):
            head = LogisticHead(Standardiser(np.zeros(dim), np.ones(dim)), np.eye(dim)[number], np.zeros(1))
            files |= {head_file(number, name): content for name, content in head.files().items()}
        evidence = {"patients": [], "clips": [], "outcomes": {name: {"metrics": {}} for name in card.outcomes}}
        save_task_model(starters / task.name, facts, files, evidence, "")
        return f"starter/{task.name}"

    return write
