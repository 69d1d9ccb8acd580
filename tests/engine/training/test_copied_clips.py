"""Clips that look like a clip of another patient are warned of, and refused where they are many."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import Task
from lusfx.engine.training.result import TrainingResult
from lusfx.engine.training.train import train_task
from lusfx.errors import TrainingRefusedError, UsageError
from lusfx.testing.small_cache import SmallCache, make_small_cache
from lusfx.types import ClipEmbeddings

pytestmark = pytest.mark.usefixtures("few_resamples")
N_CLIPS = 36
Train = Callable[..., TrainingResult]


class Plain(Task):
    """Effusion, one answer a clip."""

    name = "plain"
    label_columns = ("effusion",)


class OfFrame(Plain):
    """Effusion, one answer a frame."""

    name, unit, frames_per_clip = "of-frame", "frame", 4


@pytest.fixture
def made(tmp_path: Path) -> SmallCache:
    return make_small_cache(tmp_path / "made", Plain(), n_patients=12, clips_per_patient=3, dim=64)


def give_copies(made: SmallCache, n: int) -> list[str]:
    """Give trimmed copies of the first ``n`` patients' first clips to other patients; their names are returned."""
    with made.labels.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    patients = []
    for number, row in enumerate(rows[::3][:n]):
        clip = made.store.read(row["clip"])
        key = hashlib.sha256(f"copy {number}".encode()).hexdigest()
        copy = ClipEmbeddings(
            clip.embeddings[2:] + np.float32(0.02),
            clip.times_s[2:] - clip.times_s[2],
            clip.source_frame[2:],
            clip.status[2:],
            clip.provenance,
        )
        made.store.write(key, copy)
        patients.append(f"made-up-copy-{number}")
        rows.append(row | {"clip": key, "patient_id": patients[-1], "exam_id": f"{patients[-1]}-1"})
    with made.labels.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return patients


@pytest.fixture
def train(made: SmallCache, tmp_path: Path) -> Train:
    def run(task: Task | None = None, **wanted: Any) -> TrainingResult:
        facts = {"n_folds": 2, "n_repeats": 1, "site_key": made.site_key, "force": True} | wanted
        (result,) = train_task([task or Plain()], made.labels, made.cache, tmp_path / "model", **facts)
        return result

    return run


@pytest.mark.slow
def test_without_copies_nothing_is_said(train: Train) -> None:
    result = train()
    assert result.copied.pairs == ()
    assert result.as_dict()["near_duplicates"] == {"pairs": 0, "patients": 0, "share_of_clips": 0.0}
    assert not any("same clip" in warning for warning in result.warnings)


@pytest.mark.parametrize("task", [Plain(), OfFrame()], ids=["clip", "frame"])
def test_a_copy_is_warned_of_in_the_result_and_the_report(made: SmallCache, train: Train, task: Task) -> None:
    give_copies(made, 1)
    result = train(task)
    (warning,) = [warning for warning in result.warnings if "same clip" in warning]
    assert warning.startswith("1 pair of clips between 2 patients")
    assert result.as_dict()["near_duplicates"] == {
        "pairs": 1,
        "patients": 2,
        "share_of_clips": round(2 / (N_CLIPS + 1), 6),
    }
    assert "1 pair of clips between 2 patients" in (result.out / "report.html").read_text("utf-8")


def test_many_copies_are_refused_without_a_name(made: SmallCache, train: Train, tmp_path: Path) -> None:
    patients = give_copies(made, 4)
    with pytest.raises(TrainingRefusedError, match="4 pairs of clips between 8 patients") as error:
        train()
    assert not any(name in str(error.value) for name in [*patients, "p-"])
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_more_copies_are_trained_on_where_that_is_asked_for(made: SmallCache, train: Train) -> None:
    give_copies(made, 4)
    result = train(max_near_duplicates=0.5)
    assert len(result.copied.pairs) == 4
    with pytest.raises(TrainingRefusedError):
        train(max_near_duplicates=0.0)


@pytest.mark.slow
def test_one_pair_is_not_refused(made: SmallCache, train: Train) -> None:
    give_copies(made, 1)
    assert len(train(max_near_duplicates=0.0).copied.pairs) == 1


def test_a_share_is_from_0_to_1(train: Train) -> None:
    with pytest.raises(UsageError):
        train(max_near_duplicates=1.5)
