"""The probe reads findings from embeddings, on patients that it was not fitted on, and says nothing where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="pretraining needs torch")

from lusfx.contracts import UNKNOWN
from lusfx.pretraining.probe import LINEAR_FOLDS, LabelledProbe, linear_probe, neighbours_probe
from lusfx.splits import inner_folds

READINGS = pytest.mark.parametrize("read", [linear_probe, neighbours_probe])
Read = Callable[..., float]


def patients(n: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets and groups ``(n * each,)``; every other patient has the finding in all clips."""
    number = np.repeat(np.arange(n), each)
    return (number % 2 == 0).astype(np.int64), np.array([f"p-{patient:03}" for patient in number])


def noise(n: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


@READINGS
def test_a_finding_is_seen(read: Read) -> None:
    targets, groups = patients(20, 5)
    embeddings = noise(100, 8)
    embeddings[:, 0] += np.where(targets == 1, 4, -4)
    assert read(embeddings, targets, groups) > 0.98


def test_a_finding_in_a_direction_of_little_spread_is_seen_by_the_linear_reading_alone() -> None:
    """Heads weigh features by what they tell, and neighbours by how far they spread."""
    targets, groups = patients(40, 4)
    embeddings = noise(160, 12) * np.array([0.05, *[3] * 11], np.float32)
    embeddings[:, 0] += np.where(targets == 1, 0.1, -0.1)
    assert linear_probe(embeddings, targets, groups) > 0.9
    assert neighbours_probe(embeddings, targets, groups) < 0.65


@READINGS
def test_patients_are_not_seen(read: Read) -> None:
    """Embeddings that tell who it is and nothing else."""
    targets, groups = patients(30, 6)
    areas = []
    for seed in range(12):
        embeddings = noise(30, 16, seed).repeat(6, axis=0) + 0.01 * noise(180, 16, seed + 100)
        areas.append(read(embeddings, targets, groups))
    assert np.mean(areas) == pytest.approx(0.5, abs=0.08)


def test_the_linear_reading_is_that_of_scikit_learn_within_folds() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    targets, groups = patients(24, 3)
    embeddings = noise(72, 6) + 0.5 * targets[:, None].astype(np.float32)
    areas, n_pairs = [], []
    for fold in inner_folds(targets, groups, LINEAR_FOLDS, seed=0):
        assert not set(groups[fold.train]) & set(groups[fold.test])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=2 / 6, max_iter=1000))
        model.fit(embeddings[fold.train], targets[fold.train])
        areas.append(roc_auc_score(targets[fold.test], model.predict_proba(embeddings[fold.test])[:, 1]))
        n_pairs.append(targets[fold.test].sum() * (1 - targets[fold.test]).sum())
    expected = np.average(areas, weights=n_pairs)
    assert linear_probe(embeddings, targets, groups) == pytest.approx(expected, abs=1e-3)


@READINGS
def test_embeddings_that_are_all_the_same_are_chance(read: Read) -> None:
    targets, groups = patients(12, 2)
    assert read(np.zeros((24, 8), np.float32), targets, groups) == 0.5
    assert linear_probe(np.full((24, 8), 3e30, np.float32), targets, groups) == 0.5


@READINGS
def test_what_cannot_be_judged_is_no_number(read: Read) -> None:
    targets, groups = patients(12, 2)
    assert np.isnan(read(noise(24, 4), np.ones(24, np.int64), groups))
    assert np.isnan(read(noise(24, 4), targets, np.array(["p"] * 24)))
    assert np.isnan(linear_probe(noise(24, 4), (groups == "p-000").astype(np.int64), groups))  # one patient has it
    assert np.isnan(read(noise(0, 4), targets[:0], groups[:0]))


class Embeds:
    """A network that gives these embeddings."""

    def __init__(self, embeddings: np.ndarray) -> None:
        self.embeddings = embeddings

    def embed(self, frames: Any) -> np.ndarray:
        return self.embeddings


def test_units_without_a_label_are_left_out_outcome_by_outcome() -> None:
    from types import SimpleNamespace

    finding, groups = patients(20, 2)
    targets = np.stack([finding, np.where(np.arange(40) < 20, finding, UNKNOWN), np.full(40, UNKNOWN)], axis=1)
    frames = noise(80, 4)  # two a unit
    frames[:, 0] += np.repeat(np.where(finding == 1, 9, -9), 2)
    units: Any = SimpleNamespace(targets=targets, groups=groups)
    store: Any = SimpleNamespace(frames=lambda: None)
    rows = [np.array([2 * unit, 2 * unit + 1]) for unit in range(40)]
    probe = LabelledProbe(units, ("all", "half", "none"), store, rows)
    network: Any = Embeds(frames)
    for areas in probe(network).values():
        assert areas["all"] == areas["half"] == 1
        assert np.isnan(areas["none"])
    network = Embeds(np.full((80, 4), np.inf, np.float32))
    assert all(np.isnan(area) for areas in probe(network).values() for area in areas.values())
