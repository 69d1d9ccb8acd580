"""Pages of training and judging say what was found, what it was found on, and nothing that names a patient."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lusfx.contracts import Abstention, LongestRun, MinSpecificity, Task, Youden
from lusfx.engine.evaluation.evaluate import evaluate
from lusfx.engine.evaluation.report import evaluation_page
from lusfx.engine.training.report import training_page
from lusfx.engine.training.result import TrainingResult
from lusfx.engine.training.train import train_task
from lusfx.plugins import Registry
from lusfx.report import Page, render
from lusfx.testing.small_cache import make_small_cache

MakeTrained = Callable[..., TrainingResult]
pytestmark = pytest.mark.usefixtures("few_resamples")


class Plain(Task):
    """Is there an effusion?"""

    name, version = "plain", 3
    classes = ("dry", "wet")
    label_columns = ("effusion",)
    operating_points = {"balanced": Youden(), "certain": MinSpecificity(1.0)}  # noqa: RUF012


class OfFrame(Plain):
    """Is there an effusion in this frame?"""

    name, unit, frames_per_clip = "of-frame", "frame", 4
    abstain = Abstention(min_frames=2)


class ByRun(Plain):
    """Is there an effusion, by the longest run?"""

    name, aggregate = "by-run", LongestRun(0.4, 0.25)


class Signs(Task):
    """Which signs are there?"""

    name, kind = "signs", "multi-label"
    classes = ("A-lines", "B-lines")
    label_columns = ("a", "b")


class Grade(Task):
    """How severe is it?"""

    name, kind = "grade", "ordinal"
    classes = ("0", "1", "2")
    label_columns = ("grade",)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, few_resamples: None) -> MakeTrained:
    """The model of a task, trained once. Not to be changed."""
    made: dict[str, TrainingResult] = {}

    def train(task: Task, *, search: bool = False) -> TrainingResult:
        name = f"{task.name} {search}"
        if name not in made:
            folder = tmp_path_factory.mktemp("trained")
            small = make_small_cache(folder / "small", task, n_patients=16)
            (made[name],) = train_task(
                [task],
                small.labels,
                small.cache,
                folder / "model",
                n_folds=2,
                n_repeats=2,
                head="logistic",
                search=search,
                site_key=small.site_key,
            )
        return made[name]

    return train


def text_of(page: Page) -> str:
    return html.unescape(render(page))


def cells_of(page: Page) -> dict[str, str]:
    """The second cell of each row of all tables by the first."""
    return {row[0]: row[1] for table in page.tables for row in table.rows}


def test_a_training_page_says_the_answer_and_what_it_was_found_on(trained: MakeTrained) -> None:
    result = trained(Plain())
    page = training_page(result)
    assert page.title == "Is there an effusion?"
    (outcome,) = result.outcomes
    auc = outcome.metrics["roc_auc"]
    assert f"reaches an AUC of {auc} on 48 clips of 16 patients" in page.lead
    assert "in the mean of 2 repeats" in page.lead
    cells = cells_of(page)
    assert cells["area under the ROC curve"] == f"{auc.value:.3f}"
    assert cells["task"] == "plain, version 3: binary, one answer a clip"
    assert cells["patients"] == "16"
    assert cells["clips whose label is not known"] == "0"
    assert cells["features"].startswith(f"made-up, fingerprint {result.fingerprint[:12]}")
    assert any("only 24 units are" in warning for warning in page.warnings)
    text = text_of(page)
    for fact in (*page.warnings, *page.limits, "seed", "logit_variance"):
        assert str(fact) in text
    assert render(page) == (result.out / "report.html").read_text(encoding="utf-8")


def test_operating_points_stand_with_what_they_achieve_on_other_patients(trained: MakeTrained) -> None:
    result = trained(Plain())
    (outcome,) = result.outcomes
    (table,) = [table for table in training_page(result).tables if "sensitivity" in table.header]
    assert [row[0] for row in table.rows] == ["balanced", "certain"]
    for name, threshold, sensitivity, found, specificity, spared in table.rows:
        assert threshold == f"{outcome.learnt.thresholds[name]:.3f}"
        assert sensitivity == str(outcome.performances[name].sensitivity)
        assert specificity == str(outcome.performances[name].specificity)
        counts = [
            (outcome.validation.answers[name] == outcome.targets)[:, outcome.targets == answer] for answer in (1, 0)
        ]
        for said, right in zip((found, spared), counts, strict=True):
            assert said == f"{right.sum(axis=1).mean():.1f} of {right.shape[1]}".replace(".0 of", " of")


def test_each_repeat_has_its_auc_and_their_mean_is_the_headline(trained: MakeTrained) -> None:
    result = trained(Signs())
    (table,) = [table for table in training_page(result).tables if table.header[0] == "repeat"]
    assert list(table.header) == ["repeat", "AUC of A-lines", "AUC of B-lines"]
    for column, outcome in enumerate(result.outcomes, start=1):
        mean = sum(float(row[column]) for row in table.rows) / 2
        assert mean == pytest.approx(outcome.metrics["roc_auc"].value, abs=0.001)


@pytest.mark.parametrize("task", [Signs(), Grade()], ids=lambda task: task.name)
def test_of_several_outcomes_each_is_told_by_name(trained: MakeTrained, task: Task) -> None:
    result = trained(task)
    page = training_page(result)
    assert f"a mean AUC over 2 outcomes of {result.figures['mean_roc_auc']}" in page.lead
    assert len(page.figures) == 6
    titles = [section.title for section in page.sections]
    for outcome in result.outcomes:
        assert titles.count(outcome.name) == 1
        cells = cells_of(page)
        assert cells[f"'{outcome.name}'"] == f"{outcome.n_events} of {outcome.n_units} clips"
        assert f"head of '{outcome.name}'" in cells
    if task.kind == "ordinal":
        for name, figure in (
            ("quadratic weighted kappa of the answered level", "quadratic_weighted_kappa"),
            ("mean absolute error of the answered level", "mean_absolute_error"),
            ("balanced accuracy of the answered class", "balanced_accuracy"),
        ):
            assert cells_of(page)[name] == f"{result.figures[figure].value:.3f}"


def test_weak_labels_and_what_could_not_be_assessed_are_told(trained: MakeTrained) -> None:
    result = trained(OfFrame())
    page = training_page(result)
    assert "frames of 16 patients" in page.lead
    assert any("weak labels" in warning for warning in page.warnings)
    assert "16 labelled units are not assessable: too-few-frames" in page.warnings
    assert cells_of(page)["frames not assessable: too-few-frames"] == "16"
    assert "weak labels" in text_of(page)


def test_an_aggregation_is_told_with_its_parameters(trained: MakeTrained) -> None:
    features = cells_of(training_page(trained(ByRun())))["features"]
    assert "frames, then longest-run, above=0.4, seconds=0.25" in features


def test_a_search_is_told_best_first(trained: MakeTrained) -> None:
    result = trained(Plain(), search=True)
    (table,) = [table for table in training_page(result).tables if table.header[0] == "tried"]
    merits = result.outcomes[0].learnt.merits
    assert {row[0] for row in table.rows} == set(merits)
    assert [float(row[1]) for row in table.rows] == sorted((round(merit, 3) for merit in merits.values()), reverse=True)
    assert str(result.search) in text_of(training_page(result)).replace("The search", "the search")
    assert "tried" not in [table.header[0] for table in training_page(trained(Plain())).tables]


@pytest.mark.parametrize("task", [Plain(), OfFrame(), Signs()], ids=lambda task: task.name)
def test_no_patient_and_no_clip_is_named(trained: MakeTrained, task: Task) -> None:
    result = trained(task)
    text = text_of(training_page(result))
    for key in (*result.samples.groups.tolist(), *result.samples.clips):
        assert key[:12] not in text
    assert "made-up-0" not in text  # the identifiers that the table has


def test_names_that_a_plugin_chose_are_text_and_nothing_else(trained: MakeTrained) -> None:
    class Hostile(Plain):
        """<script>alert('question')</script>"""

        name = "hostile"
        classes = ("<b>dry</b>", "<img src=x onerror=alert(1)>")

    page = render(training_page(trained(Hostile())))
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "<b>" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


@pytest.mark.parametrize("task", [Plain(), OfFrame(), Signs(), Grade()], ids=lambda task: task.name)
def test_a_page_of_judging_says_on_whom_and_how_well(
    trained: MakeTrained, with_tasks: Callable[..., Registry], tmp_path: Path, task: Task
) -> None:
    with_tasks(task)
    others = make_small_cache(tmp_path / "others", task, n_patients=8, first_patient=500)
    result = evaluate(trained(task).out, others.labels, others.cache, site_key=others.site_key)
    page = evaluation_page(result)
    assert page.title == task.question
    assert "of 8 patients" in page.lead
    assert "None of these patients was in its training" in page.lead
    headline = result.figures.get("mean_roc_auc", result.outcomes[0].metrics["roc_auc"])
    assert str(headline) in page.lead
    assert len(page.figures) == 3 * len(task.outcomes)
    assert list(page.warnings) == list(result.warnings)
    assert len(page.limits) == 1  # that of cross-validation is none of this page's
    (_, *rest) = [table for table in page.tables if "sensitivity" in table.header]
    assert len(rest) == len(task.outcomes) - 1
    text = text_of(page)
    assert not any(key[:12] in text for key in (*result.samples.groups.tolist(), *result.samples.clips))


def test_a_page_names_the_files_of_the_model_that_it_is_of(trained: MakeTrained) -> None:
    """By digests, which ``task_model.json`` has too: the model's own is of the page as well."""
    result = trained(Plain())
    cells = cells_of(training_page(result))
    files = json.loads((result.out / "task_model.json").read_bytes())["files"]
    for name in ("1-head.safetensors", "novelty.safetensors"):
        assert cells[f"SHA-256 of {name}"] == files[name]["sha256"]
    assert cells["made"].startswith(f"{result.created:%Y-%m-%d %H:%M} UTC")
