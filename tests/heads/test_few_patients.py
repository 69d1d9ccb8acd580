"""No head gives up on a table of few patients: where logistic regression finds something there, every kind of head does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lusfx.contracts import Bags, Features, HeadSpec, TrainingSet
from lusfx.plugins import load_registry

HEADS = load_registry().heads.as_mapping()
CLIPS_EACH, FRAMES_EACH = 5, 4
N_SEEDS = 3
STRENGTH = 0.55
"""Of the finding, beside deviations of 0.5 of patients, clips and frames; more where there is more to get lost in."""
TABLES = [(4, 40), (4, 320), (8, 40), (8, 160), (16, 80), (42, 320)]
"""Patients that are trained on, and features."""


def drawn(n_patients: int, n_features: int, seed: int) -> list[TrainingSet]:
    """Clips of a few patients to learn from and of a hundred others, as bags of frames.

    One direction tells the answer, weakly; every patient, clip and frame lies elsewhere besides. Patients have the finding
    by turns; a tenth of the clips differs from its patient's others.
    """
    generator = np.random.default_rng((n_patients, n_features, seed))
    direction = generator.normal(size=n_features)
    direction *= STRENGTH * (n_features / n_patients) ** 0.25 / np.linalg.norm(direction)
    sets = []
    for patients in (n_patients, 100):
        patient = np.repeat(np.arange(patients), CLIPS_EACH)
        targets = (patient + (generator.random(len(patient)) < 0.1)) % 2
        clips = (2 * targets - 1)[:, None] * direction
        clips = clips + 0.5 * generator.normal(size=(patients, n_features))[patient]
        clips += 0.5 * generator.normal(size=clips.shape)
        rows = np.repeat(clips, FRAMES_EACH, axis=0)
        rows += 0.5 * generator.normal(size=rows.shape)
        bags = Bags(rows.astype(np.float32), np.arange(len(clips) + 1) * FRAMES_EACH)
        sets.append(TrainingSet(bags, targets, np.array([f"p-{number}" for number in patient])))
    return sets


def as_taken(spec: HeadSpec, bags: Features) -> Features:
    """The bags, or the mean of each."""
    assert isinstance(bags, Bags)
    return bags if spec.takes == "bags" else bags.rows.reshape(len(bags), FRAMES_EACH, -1).mean(axis=1)


def scored(spec: HeadSpec, learnt_from: TrainingSet, unseen: TrainingSet, seed: int) -> np.ndarray:
    """Probabilities of class 1 for patients that were not trained on."""
    training = TrainingSet(as_taken(spec, learnt_from.features), learnt_from.targets, learnt_from.groups)
    head = spec.fit(training, spec.settings(), seed)
    return head.predict_proba(as_taken(spec, unseen.features))[:, 1]


def named() -> list[object]:
    """All registered heads; the one that is given frames takes seconds."""
    return [pytest.param(name, marks=[pytest.mark.slow] if name == "attention" else []) for name in sorted(HEADS)]


@pytest.mark.parametrize(("n_patients", "n_features"), TABLES)
@pytest.mark.parametrize("name", named())
def test_finds_what_logistic_regression_finds(
    name: str, n_patients: int, n_features: int, ranked_above: Callable[[np.ndarray, np.ndarray], float]
) -> None:
    areas = []
    for seed in range(N_SEEDS):
        learnt_from, unseen = drawn(n_patients, n_features, seed)
        by_logistic = ranked_above(scored(HEADS["logistic"], learnt_from, unseen, seed), unseen.targets)
        assert by_logistic > 0.6, "the table has nothing to find: make its signal stronger"
        probabilities = scored(HEADS[name], learnt_from, unseen, seed)
        assert np.ptp(probabilities) > 0.01, f"seed {seed}: the same answer for every clip"
        areas.append(ranked_above(probabilities, unseen.targets))
    assert min(areas) > 0.5
    assert np.mean(areas) > 0.58
