"""A recalibrated model has the old heads, mended probabilities, and knows the patients of both of its tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lusfx.contracts import MinSensitivity, MinSpecificity, Task, Youden
from lusfx.engine.evaluation.evaluate import evaluate
from lusfx.engine.evaluation.recalibrate import recalibrate
from lusfx.engine.training.train import train_task
from lusfx.errors import LeakError, UsageError
from lusfx.heads import lusfx_register_heads
from lusfx.task_model import load_task_model, verify_task_model
from lusfx.testing.small_cache import SmallCache, make_small_cache

pytestmark = pytest.mark.usefixtures("few_resamples")


class Sign(Task):
    """Is it there?"""

    name, label_columns = "sign", ("sign",)
    operating_points = {"balanced": Youden(), "in": MinSpecificity(0.9), "out": MinSensitivity(0.9)}  # noqa: RUF012


class Grade(Task):
    """How severe, in a frame?"""

    name, kind, unit, frames_per_clip = "grade", "ordinal", "frame", 2
    classes = ("0", "1", "2")
    label_columns = ("grade",)


@pytest.mark.slow
@pytest.mark.parametrize("task", [Sign(), Grade()], ids=lambda task: task.name)
def test_probabilities_are_mended_and_the_rest_is_kept(
    task: Task, tmp_path: Path, with_tasks: Callable[..., Any]
) -> None:
    with_tasks(task)
    (column,) = task.label_columns

    def elsewhere(name: str, first_patient: int) -> SmallCache:
        """Patients of a place where a yes is rarer and looks less like one."""
        rare = [{column: str(max(number, 0))} for number in range(-4, len(task.classes))]
        return make_small_cache(
            tmp_path / name, task, examples=rare, n_patients=150, first_patient=first_patient, signal=0.7
        )

    own = make_small_cache(tmp_path / "own", task, n_patients=18)
    here, there = elsewhere("here", 100), elsewhere("there", 900)
    old, new = tmp_path / "old", tmp_path / "new"
    train_task([task], own.labels, own.cache, old, n_folds=2, n_repeats=1, site_key=own.site_key)
    before = {file.name: file.read_bytes() for file in old.iterdir()}
    told = evaluate(old, there.labels, there.cache, site_key=own.site_key)
    assert told.outcomes[0].believed is False

    result = recalibrate(old, here.labels, here.cache, new, n_folds=3, n_repeats=2, site_key=own.site_key)
    again = evaluate(new, there.labels, there.cache, site_key=own.site_key)
    for one, two in zip(told.outcomes, again.outcomes, strict=True):
        for figure, right in (("calibration_slope", 1), ("calibration_intercept", 0)):
            assert abs(two.metrics[figure].value - right) < abs(one.metrics[figure].value - right)
        assert two.metrics["brier_score"].value < one.metrics["brier_score"].value
        assert two.metrics["roc_auc"].value == pytest.approx(one.metrics["roc_auc"].value)

    specs = {spec.name: spec for spec in lusfx_register_heads()}
    assert verify_task_model(new, specs) == []
    first, second = load_task_model(old, specs), load_task_model(new, specs)
    assert second.digest == result.digest
    assert second.card.recalibrated_from == first.digest == result.as_dict()["recalibrated_from"]
    assert second.card.training.n_patients == 18 + 150
    assert [head.files() for head in second.heads] == [head.files() for head in first.heads]
    for outcome in second.card.outcomes:
        assert list(outcome.thresholds.values()) == sorted(outcome.thresholds.values())
    assert f"whose heads were trained on {first.card.training.n_units}" in (new / "report.html").read_text()
    assert {file.name: file.read_bytes() for file in old.iterdir()} == before

    for known in (own, here):
        with pytest.raises(LeakError):
            evaluate(new, known.labels, known.cache, site_key=own.site_key)
    with pytest.raises(LeakError):
        recalibrate(old, own.labels, own.cache, tmp_path / "third", site_key=own.site_key)
    with pytest.raises(UsageError, match="of its own"):
        recalibrate(old, there.labels, there.cache, old, site_key=own.site_key)
    assert {file.name: file.read_bytes() for file in old.iterdir()} == before
