"""Small training sets, every head trained on one, and a fresh interpreter in which torch cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import Bags, Features, Head, HeadSpec, TrainingSet
from lusfx.heads import lusfx_register_heads

SPECS = {spec.name: spec for spec in lusfx_register_heads()}
SLOW_HEADS = {"attention"}
REPOSITORY = Path(__file__).resolve().parents[2]

WITHOUT_TORCH = """
import sys
from importlib.abc import MetaPathFinder

class NoTorch(MetaPathFinder):  # as if it were not installed; sys.modules["torch"] = None would break scipy's own check
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, NoTorch())
"""

MakeTraining = Callable[..., TrainingSet]


def _make_training(
    n_rows: int = 240,
    n_features: int = 40,
    rows_a_patient: int = 6,
    separation: float = 1.5,
    positives: float = 0.5,
    seed: int = 0,
) -> TrainingSet:
    """Rows of two classes that differ along three features; each patient also shifts their own rows."""
    generator = np.random.default_rng(seed)
    patient = np.arange(n_rows) // rows_a_patient
    targets = (generator.random(n_rows) < positives).astype(np.int64)
    targets[:2] = (0, 1)
    features = (
        generator.normal(size=(n_rows, n_features)) + generator.normal(size=(patient.max() + 1, n_features))[patient]
    )
    features[:, :3] += separation * (2 * targets[:, None] - 1)
    return TrainingSet((10 + 3 * features).astype(np.float32), targets, np.array([f"p-{p:05d}" for p in patient]))


def _as_taken(spec: HeadSpec, vectors: np.ndarray) -> Features:
    """What the head takes: the vectors, or each as a bag of one to three rows that vary about it."""
    if spec.takes == "vectors":
        return vectors
    sizes = 1 + np.arange(len(vectors)) % 3
    rows = np.repeat(vectors, sizes, axis=0)
    spread = vectors.std(axis=0, dtype=np.float64) if len(vectors) else 0.0
    noise = np.random.default_rng(0).normal(size=rows.shape) * spread * 0.2
    return Bags((rows + noise).astype(np.float32), np.concatenate([[0], np.cumsum(sizes)]))


@pytest.fixture(scope="session")
def as_taken() -> Callable[[HeadSpec, np.ndarray], Features]:
    return _as_taken


@pytest.fixture(scope="session")
def make_training_for() -> Callable[..., TrainingSet]:
    """The training set of ``make_training`` as the head takes it."""

    def make(spec: HeadSpec, **wanted: float) -> TrainingSet:
        training = _make_training(**wanted)
        return replace(training, features=_as_taken(spec, training.features))

    return make


def marked(names: Iterable[str]) -> list[Any]:
    """Names of heads as parameters; some take seconds to train."""
    return [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW_HEADS else []) for name in names]


@pytest.fixture(params=marked(sorted(SPECS)))
def spec(request: pytest.FixtureRequest) -> HeadSpec:
    """Each built-in head in turn."""
    found: HeadSpec = SPECS[request.param]
    return found


class Fitted(Mapping[str, Head]):
    """Each head by its name, trained on the same units when it is first asked for. Not to be changed."""

    def __init__(self, make_training_for: Callable[..., TrainingSet]) -> None:
        self._make_training_for = make_training_for
        self._heads: dict[str, Head] = {}

    def __getitem__(self, name: str) -> Head:
        if name not in self._heads:
            spec = SPECS[name]
            self._heads[name] = spec.fit(self._make_training_for(spec), spec.settings(), seed=3)
        return self._heads[name]

    def __iter__(self) -> Iterator[str]:
        return iter(SPECS)

    def __len__(self) -> int:
        return len(SPECS)


@pytest.fixture(scope="session")
def fitted(make_training_for: Callable[..., TrainingSet]) -> Fitted:
    return Fitted(make_training_for)


@pytest.fixture(scope="session")
def ranked_above() -> Callable[[np.ndarray, np.ndarray], float]:
    """Area under the ROC curve: how often a unit of class 1 has the higher probability."""

    def area(probabilities: np.ndarray, targets: np.ndarray) -> float:
        positive, negative = probabilities[targets == 1], probabilities[targets == 0]
        return float((positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean())

    return area


@pytest.fixture(scope="session")
def make_training() -> MakeTraining:
    return _make_training


@pytest.fixture(scope="session")
def run_without_torch() -> Callable[[str, Path], str]:
    """Run Python code in a new process where ``import torch`` fails; its standard output comes back."""

    def run(code: str, folder: Path) -> str:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-W", "error", "-c", WITHOUT_TORCH + code]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
