"""Small training sets, and a fresh interpreter in which torch cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lusfx.contracts import TrainingSet

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
