"""A starter model is judged by its order alone, and becomes a model that answers by labels of a place's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lusfx.cli.evaluate import command as evaluate_command
from lusfx.cli.model import command as model_command
from lusfx.contracts import MinSensitivity, Task, Youden
from lusfx.engine.evaluation.evaluate import evaluate
from lusfx.engine.evaluation.recalibrate import recalibrate
from lusfx.engine.evaluation.verdict import next_steps, verdict
from lusfx.engine.scoring.score import score
from lusfx.errors import LeakError, UsageError
from lusfx.heads import lusfx_register_heads
from lusfx.site_key import SiteKey
from lusfx.task_model import load_task_model, model_place, verify_task_model
from lusfx.testing.small_cache import SmallCache

pytestmark = pytest.mark.usefixtures("few_resamples")

WithStarter = Callable[[Task, SmallCache], str]
SPECS = {spec.name: spec for spec in lusfx_register_heads()}


class Sign(Task):
    """Is it there?"""

    name, pooling = "sign", "mean"
    label_columns = ("sign",)
    operating_points = {"balanced": Youden(), "screen": MinSensitivity(0.9)}  # noqa: RUF012


class Grade(Task):
    """How severe?"""

    name, kind, pooling = "grade", "ordinal", "mean"
    classes = ("0", "1", "2")
    label_columns = ("grade",)


@pytest.mark.parametrize("task", [Sign(), Grade()], ids=lambda task: task.name)
def test_only_the_order_is_judged(
    task: Task,
    small_cache_of: Callable[..., SmallCache],
    with_starter: WithStarter,
    with_tasks: Callable[..., Any],
    tmp_path: Path,
) -> None:
    with_tasks(task)
    small = small_cache_of(task, n_patients=18)
    name = with_starter(task, small)
    result = evaluate(
        name, small.labels, small.cache, site_key=small.site_key, report=tmp_path / "page.html", by=["zone"]
    )
    for outcome in result.outcomes:
        assert outcome.metrics.keys() == {"roc_auc", "average_precision"}
        assert outcome.metrics["roc_auc"].value > 0.6
        assert (outcome.performances, outcome.predictive, outcome.believed) == ({}, {}, None)
        assert "no probabilities" in outcome.calibration
    assert set(result.figures) <= {"mean_roc_auc"}
    assert result.confusion is None
    assert all(
        group.point is group.sensitivity is group.specificity is group.expected is None for group in result.subgroups
    )
    assert "expected" not in result.subgroups[0].line()
    assert result.as_dict()["trained_on"] == "simulated"
    assert result.as_dict()["outcomes"][0]["operating_points"] == {}
    assert not any("sensitivity" in sentence for sentence in verdict(result))
    assert next_steps(result)[0].startswith("lusfx recalibrate")
    page = (tmp_path / "page.html").read_text()
    assert "learnt from simulated exams alone" in page
    assert "Operating points" not in page
    assert "Calibration" not in page


@pytest.mark.slow
@pytest.mark.parametrize("task", [Sign(), Grade()], ids=lambda task: task.name)
def test_a_starter_is_recalibrated_into_a_model_that_answers(
    task: Task,
    small_cache_of: Callable[..., SmallCache],
    with_starter: WithStarter,
    with_tasks: Callable[..., Any],
    tmp_path: Path,
) -> None:
    with_tasks(task)
    here, there = (small_cache_of(task, n_patients=24, first_patient=first) for first in (0, 100))
    name, new = with_starter(task, here), tmp_path / "new"
    starter = load_task_model(model_place(name), SPECS)
    result = recalibrate(name, here.labels, here.cache, new, n_folds=3, n_repeats=1, site_key=here.site_key)
    assert result.as_dict()["trained_on"] == "simulated"
    assert any("simulated exams alone" in warning for warning in result.warnings)
    assert "20 simulated patients" in (new / "report.html").read_text()
    assert verify_task_model(new, SPECS) == []
    model = load_task_model(new, SPECS)
    assert (model.card.trained_on, model.card.recalibrated_from) == ("simulated", starter.digest)
    assert not model.card.orders_only
    assert [head.files() for head in model.heads] == [head.files() for head in starter.heads]
    for outcome in model.card.outcomes:
        assert outcome.thresholds.keys() == task.operating_points.keys()
        assert outcome.calibration is not None

    judged = evaluate(new, there.labels, there.cache, site_key=here.site_key)
    assert "brier_score" in judged.outcomes[0].metrics
    with pytest.raises(LeakError):
        evaluate(new, here.labels, here.cache, site_key=here.site_key)
    scored = score([], new, there.cache, tmp_path / "scores.csv")
    assert scored.warnings == []
    header, first, *_ = (tmp_path / "scores.csv").read_text().splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True))
    assert row["trained_on"] == "simulated"
    assert row["probability"]
    assert row["answer"] in task.classes
    assert "score" not in row


def test_the_starter_itself_is_no_place_for_the_new_model(
    small_cache_of: Callable[..., SmallCache], with_starter: WithStarter
) -> None:
    small = small_cache_of(Sign(), n_patients=18)
    name = with_starter(Sign(), small)
    with pytest.raises(UsageError, match="of its own"):
        recalibrate(name, small.labels, small.cache, model_place(name))


def test_the_commands_say_what_a_starter_is(
    small_cache_of: Callable[..., SmallCache], with_starter: WithStarter, with_tasks: Callable[..., Any]
) -> None:
    with_tasks(Sign())
    small = small_cache_of(Sign(), n_patients=18)
    name = with_starter(Sign(), small)
    SiteKey.load()  # makes one
    shown = CliRunner().invoke(model_command, ["show", name]).output
    assert "20 simulated patients" in shown
    assert "yes: a score to order by, no probability" in shown
    assert "AUC" not in shown  # it was judged on no patient
    assert "no threshold makes a yes or a no" in shown
    assert CliRunner().invoke(model_command, ["verify", name]).output == "the task model is sound\n"
    assert CliRunner().invoke(model_command, ["starters"]).output == "starter/sign: Is it there?\n"
    told = CliRunner().invoke(
        evaluate_command,
        ["--model", name, "--labels", str(small.labels), "--cache", str(small.cache), "--trust-table"],
    )
    assert told.exit_code == 0, told.output
    assert "no probabilities" in told.output
    assert "sensitivity" not in told.output
