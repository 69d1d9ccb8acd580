"""An evaluation ends in a verdict: counts, predictive values, subgroups, confusion, what to believe and what to type next."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import MinSensitivity, Task, Youden
from lusfx.engine.evaluation.evaluate import evaluate
from lusfx.engine.evaluation.report import evaluation_page
from lusfx.engine.evaluation.subgroups import values_of_units
from lusfx.engine.evaluation.verdict import next_steps, rates, verdict
from lusfx.engine.training.report import training_page
from lusfx.engine.training.train import train_task
from lusfx.errors import UsageError
from lusfx.report import Table
from lusfx.testing.small_cache import SmallCache, make_small_cache

pytestmark = pytest.mark.usefixtures("few_resamples")


class Sign(Task):
    """Is it there?"""

    name, label_columns = "sign", ("sign",)
    operating_points = {"balanced": Youden(), "screen": MinSensitivity(0.9)}  # noqa: RUF012


class Cause(Task):
    """Which is it?"""

    name, kind, label_columns = "cause", "multi-class", ("cause",)
    classes = ("none", "one", "two")


def with_column(small: SmallCache, place: Path) -> Path:
    """The label table with a device: half of the patients A, one B, the others blank."""
    with small.labels.open(newline="") as stream:
        rows: list[dict[str, Any]] = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        row["device"] = "A" if number // 3 % 2 else ("B" if number < 3 else "")
    with place.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return place


@pytest.mark.slow
@pytest.mark.parametrize("task", [Sign(), Cause()], ids=lambda task: task.name)
def test_counts_subgroups_and_confusion_add_up(task: Task, tmp_path: Path, with_tasks: Callable[..., Any]) -> None:
    with_tasks(task)
    own = make_small_cache(tmp_path / "own", task, n_patients=18)
    (trained,) = train_task(
        [task], own.labels, own.cache, tmp_path / "m", n_folds=2, n_repeats=2, site_key=own.site_key
    )
    small = make_small_cache(tmp_path / "others", task, n_patients=20, first_patient=500)
    labels = with_column(small, tmp_path / "labels.csv")
    judge: dict[str, Any] = {"site_key": small.site_key, "by": ["device"], "report": tmp_path / "r.html"}
    result = evaluate(tmp_path / "m", labels, small.cache, **judge)
    told = result.as_dict()
    for number, outcome in enumerate(result.outcomes):
        card = result.model.card.outcomes[number]
        answers, yes = outcome.probabilities >= card.thresholds["balanced"], outcome.targets == 1
        line = rates(result, outcome, "balanced")
        assert f", {(answers & yes).sum()} of {yes.sum()}; specificity" in line
        assert f", {(~answers & ~yes).sum()} of {(~yes).sum()}; a yes is right in" in line
        assert f"{yes.mean():.1%} are yes, as in this table" in line
        parts = [part for part in result.subgroups if part.outcome == outcome.name]
        assert [part.value for part in parts] == ["A", "not stated", "B"]
        assert (sum(part.n_units for part in parts), sum(part.n_events for part in parts)) == (60, yes.sum())
        assert parts[0].roc_auc is not None
        assert (parts[2].n_units, parts[2].roc_auc) == (3, None)
        assert "AUC not enough to say" in parts[2].line()
        assert outcome.calibration in " ".join(verdict(result))
        assert told["outcomes"][number]["metrics"].keys() >= {"calibration_slope", "calibration_intercept"}
    page = evaluation_page(result)
    assert page.sections[-1].title == "Verdict"
    assert {result.model.digest, f"{result.model.card.training.created:%Y-%m-%d}"} <= {
        cell for table in page.tables for row in table.rows for cell in row
    }
    assert next_steps(result)[-1].startswith("lusfx score --model")
    assert (tmp_path / "r.html").read_text().count("not enough to say") >= 3
    for confusion, pages in ((result.confusion, page), (trained.confusion, training_page(trained))):
        tables = [part for part in pages.parts if isinstance(part, Table) and part.header[0] == "truth"]
        assert (confusion is None, len(tables)) == ((True, 0) if task.name == "sign" else (False, 1))
        if confusion is not None:
            samples = result.samples if pages is page else trained.samples
            assert confusion.sum(axis=1).tolist() == np.bincount(samples.classes).tolist()

    if task.name == "sign":
        stated = evaluate(tmp_path / "m", labels, small.cache, site_key=small.site_key, prevalence=0.01)
        assert "1.0% are yes, as was stated" in rates(stated, stated.outcomes[0], "balanced")
        assert next_steps(stated)[-2].endswith("--by COLUMN")
    else:
        with pytest.raises(UsageError, match="several outcomes"):
            evaluate(tmp_path / "m", labels, small.cache, site_key=small.site_key, prevalence=0.01)
    for column in ("patient_id", "nothing", "clip"):
        with pytest.raises(UsageError, match="column"):
            evaluate(tmp_path / "m", labels, small.cache, site_key=small.site_key, by=[column])


def test_a_unit_of_several_values_is_in_none_of_them() -> None:
    class Row(dict[str, str]):
        cells = property(dict)

    def entry(key: str, exam: str, **cells: str) -> Any:
        return type("Entry", (), {"key": key, "exam_key": exam, "row": Row(cells)})

    rows = [
        entry("a", "e", probe="x", frame="0"),
        entry("a", "e", probe="y", frame="01"),
        entry("b", "f", probe="", frame=""),
    ]
    units = ["a", "a#0", "a#1", "a#2", "b", "b#3", "e", "f", "g"]
    nothing = "not stated"
    expected = ["several", "x", "y", "several", nothing, nothing, "several", nothing, nothing]
    assert values_of_units("probe", rows, units) == expected
