"""A merit is what a search within `train-task` goes by, and it is of the training side alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import Youden
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.learner import Candidate, Learner
from lusfx.heads import lusfx_register_heads
from lusfx.studies.config import LOCAL, TRAIN
from lusfx.studies.head_runs import HeadJob
from lusfx.studies.merit import merit
from lusfx.studies.plan import Run, Split
from lusfx.studies.run_store import RunStore
from lusfx.studies.units import asked_units
from lusfx.task_model import UnitFeatures

HEADS = {spec.name: spec for spec in lusfx_register_heads()}
TREES = {"rounds": 5, "min_data_in_leaf": 2, "feature_fraction": 1.0}


def candidate(**settings: Any) -> Candidate:
    return Candidate(HEADS["lightgbm"], HEADS["lightgbm"].settings.model_validate({**TREES, **settings}))


def samples(n_patients: int = 20, seed: int = 0) -> Samples[UnitFeatures]:
    """Two units a patient; half of the patients have it, which two of four features tell a little."""
    generator = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_patients), 2)
    targets = (patient % 2).astype(np.int64)
    features = generator.normal(size=(len(patient), 4)).astype(np.float32)
    features[:, :2] += 0.7 * targets[:, None]
    return Samples(
        keys=np.array([f"{number:064x}" for number in range(len(patient))]),
        groups=np.array([f"p-{number:04d}" for number in patient]),
        targets=targets[:, None],
        classes=targets,
        weights=np.ones(len(patient)),
        units=UnitFeatures(features, features),
        clips=(),
        reasons={},
    )


def test_it_is_the_merit_that_a_search_chooses_by() -> None:
    made, candidates = samples(), [candidate(), candidate(num_leaves=2)]
    learner = Learner(candidates, None, 16, "none", {"balanced": Youden()}, 3, lambda _text: None)
    expected = learner.learn(made, 0).merits
    found = [merit(each, made, made.targets[:, 0], None, 16, 5, 3) for each in candidates]
    assert found == [expected[str(each)] for each in candidates]
    assert found[0] != merit(candidates[0], made, made.targets[:, 0], None, 16, 4, 3)


def test_where_nobody_can_be_held_out_there_is_none() -> None:
    made = samples(2)
    assert merit(candidate(), made, made.targets[:, 0], None, 16, 5, 0) is None


@pytest.mark.parametrize("folds", [0, 3])
def test_neither_score_nor_merit_sees_the_answers_or_the_merit_the_features_of_the_test_side(
    tmp_path: Path, folds: int
) -> None:
    made = samples()
    test, train = np.arange(8), np.arange(8, len(made))

    def scores(of: Samples[UnitFeatures]) -> Any:
        split = Split("seen", 1.0, 0, 0, train, {LOCAL: test}, {}, 16)
        run = Run("A", "trees", split, 0, {}, folds)
        job = HeadJob(candidate(), None, 16, 0, {TRAIN: of}, {LOCAL: asked_units(of, 0)}, [run], RunStore(tmp_path))
        return job.do(run)

    turned, moved = made.targets.copy(), np.array(made.units.features)
    turned[test] = 1 - turned[test]
    moved[test] += 100
    first = scores(made)
    answers = scores(replace(made, targets=turned))
    features = scores(replace(made, units=UnitFeatures(moved, moved)))
    assert (first.merit is None) == (folds == 0)
    assert first.merit == answers.merit == features.merit
    assert first.of_test[LOCAL].tolist() == answers.of_test[LOCAL].tolist()
    assert first.of_test[LOCAL].tolist() != features.of_test[LOCAL].tolist()
    learnt = made.targets.copy()
    learnt[train] = 1 - learnt[train]
    learnt[train[:6]] = 1 - learnt[train[:6]]
    if folds:
        assert scores(replace(made, targets=learnt)).merit != first.merit
