"""A score table says which units its model knows from its training, and which are unlike all of that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from lusfx.contracts import Task, Unit
from lusfx.engine.scoring.report import score_page
from lusfx.engine.scoring.score import score
from lusfx.engine.training.train import train_task
from lusfx.report import render
from lusfx.task_model import TrainingUnits
from lusfx.testing.small_cache import make_small_cache

pytestmark = pytest.mark.usefixtures("few_resamples")


class Sign(Task):
    """Is it there?"""

    name, label_columns = "sign", ("sign",)


class Exam(Sign):
    """Is it there, in the exam?"""

    unit: Unit = "exam"


class Frame(Sign):
    """Is it there, in the frame?"""

    unit, frames_per_clip = "frame", 2


@pytest.mark.parametrize("task", [Sign(), Exam(), Frame()], ids=lambda task: task.unit)
def test_own_units_and_strange_ones_are_told(task: Task, tmp_path: Path) -> None:
    own = make_small_cache(tmp_path / "own", task, n_patients=12, clips_per_patient=2)
    (trained,) = train_task(
        [task], own.labels, own.cache, tmp_path / "model", n_folds=2, n_repeats=2, site_key=own.site_key
    )
    result = score([], [tmp_path / "model"], own.cache, tmp_path / "own.parquet")
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(tmp_path / "own.parquet").to_pylist()
    assert {row["in_training"] for row in rows} == {True}
    (outcome,) = trained.outcomes
    unseen = dict(zip(trained.samples.keys.tolist(), outcome.validation.probabilities.mean(axis=0), strict=True))
    told = {
        row["exam"] if task.unit == "exam" else row["clip"] + ("" if row["frame"] is None else f"#{row['frame']}"): row
        for row in rows
    }
    assert {unit: row["out_of_fold"] for unit, row in told.items() if row["out_of_fold"] is not None} == pytest.approx(
        unseen
    )
    assert all(row["distance"] > 0 for row in rows)
    (warning,) = result.warnings
    assert f"{len(rows)} {task.unit}s are of the training of sign@" in warning
    page = score_page(result, [], 0.0)
    assert warning in page.warnings
    assert "docs/" not in render(page)  # which is mailed without them
    assert result.as_dict()["in_training"] == {rows[0]["model"]: len(rows)}

    others = make_small_cache(tmp_path / "others", task, n_patients=24, first_patient=500, signal=60.0)
    result = score([], [tmp_path / "model"], others.cache, tmp_path / "others.parquet")
    rows = pyarrow.parquet.read_table(tmp_path / "others.parquet").to_pylist()
    assert {(row["in_training"], row["out_of_fold"], row["status"]) for row in rows} == {(False, None, "scored")}
    assert trained.novelty is not None
    far = sum(row["distance"] > trained.novelty[1] for row in rows)
    (warning,) = result.warnings
    assert warning.startswith(f"{far} of {len(rows)} {task.unit}s lie farther from the training set of sign@")
    assert "where 5% are expected" in warning


@pytest.mark.parametrize(
    "cross_validation",
    [
        None,
        [],
        {"unit": ["a"], "repeats": []},
        {"unit": ["a"], "repeats": [{"probability": ["1"]}]},
        {"unit": ["a"], "repeats": [{"probability": [1.5]}]},
        {"unit": ["a", "b"], "repeats": [{"probability": [0.5]}]},
        {"unit": ["a"], "repeats": [{"probability": [0.5]}, {"probability": [0.5, 0.5]}]},
    ],
    ids=json.dumps,
)
def test_evidence_of_another_form_tells_nothing(cross_validation: Any) -> None:
    known = TrainingUnits.of({"outcomes": {"yes": {"cross_validation": cross_validation}}})
    assert known.out_of_fold == {"yes": {}}


def test_another_clip_of_a_training_patient_is_known_however_the_patient_is_spelt() -> None:
    known = TrainingUnits.of({"clips": ["c"], "patients": ["p-1"], "pseudonyms": ["p-2"]})
    assert [known.hold(["d"], patient) for patient in (None, "p-1", "p-2", "p-3")] == [False, True, True, False]
    assert known.hold(["c"], None)
