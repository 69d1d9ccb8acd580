"""A task model is judged on patients that it was not trained on, and on no others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from lusfx.cache import Cache, Store
from lusfx.config import FeatureSpec
from lusfx.contracts import Abstention, Task
from lusfx.engine.evaluation.evaluate import evaluate
from lusfx.engine.evaluation.result import EvaluationResult
from lusfx.engine.training.result import TrainingResult
from lusfx.engine.training.train import train_task
from lusfx.errors import CacheError, LeakError, TableError, UsageError
from lusfx.plugins import Registry
from lusfx.testing.small_cache import SmallCache, make_small_cache
from lusfx.types import ClipEmbeddings

MakeSmall = Callable[..., SmallCache]
Rows = list[dict[str, str]]
pytestmark = pytest.mark.usefixtures("few_resamples")
OTHERS = {"n_patients": 10, "first_patient": 500}


class Plain(Task):
    """Effusion, one answer a clip."""

    name = "plain"
    label_columns = ("effusion",)


class OfFrame(Plain):
    """Effusion, one answer a frame."""

    name, unit, frames_per_clip = "of-frame", "frame", 4


class OfExam(Plain):
    """Effusion, one answer an exam."""

    name, unit = "of-exam", "exam"


class Careful(Plain):
    """Effusion, where the clip is like those of training and long enough."""

    name, abstain = "careful", Abstention(familiar=0.9, min_frames=2)


class Custom(Plain):
    """Effusion, by the plugin's own pooling."""

    name, pooling = "custom", "custom"

    def pool(self, embeddings: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        return np.median(embeddings, axis=0)


class Signs(Task):
    """A-lines and B-lines, each seen or not."""

    name, kind = "signs", "multi-label"
    classes = ("A-lines", "B-lines")
    label_columns = ("a", "b")


class Grade(Task):
    """How severe it is."""

    name, kind = "grade", "ordinal"
    classes = ("0", "1", "2")
    label_columns = ("grade",)


TASKS = (Plain(), OfFrame(), OfExam(), Careful(), Custom(), Signs(), Grade())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, few_resamples: None) -> Callable[[Task], TrainingResult]:
    """The model of a task, trained once. Not to be changed."""
    made: dict[str, TrainingResult] = {}

    def train(task: Task) -> TrainingResult:
        if task.name not in made:
            folder = tmp_path_factory.mktemp("trained")
            small = make_small_cache(folder / "small", task, n_patients=18)
            (made[task.name],) = train_task(
                [task], small.labels, small.cache, folder / "model", n_folds=2, n_repeats=1, site_key=small.site_key
            )
        return made[task.name]

    return train


@pytest.fixture(autouse=True)
def registry(with_tasks: Callable[..., Registry]) -> Registry:
    return with_tasks(*TASKS)


Judge = Callable[..., EvaluationResult]


@pytest.fixture
def judge(
    trained: Callable[[Task], TrainingResult], small_cache_of: MakeSmall, write_labels: Callable[[Rows], Path]
) -> Judge:
    """Judges a task's model on other patients, with a changed table if one is given."""

    def run(
        task: Task,
        rows: Rows | None = None,
        small: SmallCache | None = None,
        given: Task | None = None,
        report: Path | None = None,
        trust_table: bool = False,
    ) -> EvaluationResult:
        result, small = trained(task), small or small_cache_of(task, **OTHERS)
        labels = small.labels if rows is None else write_labels(rows)
        return evaluate(
            result.out, labels, small.cache, task=given, report=report, trust_table=trust_table, site_key=small.site_key
        )

    return run


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_kind_of_task_is_judged_by_what_its_model_says(
    judge: Judge, trained: Callable[[Task], TrainingResult], task: Task
) -> None:
    result = judge(task)
    learnt = [outcome.learnt for outcome in trained(task).outcomes]
    assert [outcome.name for outcome in result.outcomes] == list(task.outcomes)
    assert result.samples.n_patients == 10
    assert not set(result.samples.groups) & set(trained(task).samples.groups)
    for number, outcome in enumerate(result.outcomes):
        probabilities = learnt[number].probabilities(result.samples.units)
        assert outcome.probabilities == pytest.approx(probabilities, abs=1e-9)
        assert outcome.targets.tolist() == result.samples.targets[:, number].tolist()
        auc = reference.roc_auc_score(outcome.targets, outcome.probabilities)
        assert outcome.metrics["roc_auc"].value == pytest.approx(auc)
        answers = outcome.probabilities >= learnt[number].thresholds["balanced"]
        sensitivity = answers[outcome.targets == 1].mean()
        assert outcome.performances["balanced"].sensitivity.value == pytest.approx(sensitivity)
    said = json.loads(json.dumps(result.as_dict()))
    assert said["n_units"] == len(result.samples)
    assert said["digest"] == trained(task).digest
    assert said["outcomes"][0]["n_events"] == int(result.outcomes[0].targets.sum())


def test_the_summary_of_one_outcome_and_of_several(judge: Judge, trained: Callable[[Task], TrainingResult]) -> None:
    plain, signs = judge(Plain()), judge(Signs())
    (outcome,) = plain.outcomes
    digest = trained(Plain()).digest[:12]
    assert plain.summary() == (
        f"plain@{digest}: AUC {outcome.metrics['roc_auc']} on 30 clips of 10 patients (15 events)"
    )
    assert plain.figures == {}
    assert "\n" not in signs.summary()
    assert f"mean AUC {signs.figures['mean_roc_auc']} on 30 clips of 10 patients (A-lines " in signs.summary()
    assert f"; B-lines {signs.outcomes[1].metrics['roc_auc']})" in signs.summary()
    mean = np.mean([outcome.metrics["roc_auc"].value for outcome in signs.outcomes])
    assert signs.figures["mean_roc_auc"].value == pytest.approx(mean)


def test_answers_of_a_scale_are_judged_as_levels(judge: Judge, trained: Callable[[Task], TrainingResult]) -> None:
    result = judge(Grade())
    levels = np.zeros(len(result.samples), np.int64)
    reached = np.ones(len(result.samples), np.bool_)
    for outcome, learnt in zip(result.outcomes, trained(Grade()).outcomes, strict=True):
        reached &= outcome.probabilities >= learnt.learnt.thresholds["balanced"]
        levels += reached
    kappa = reference.cohen_kappa_score(result.samples.classes, levels, weights="quadratic")
    assert result.figures["quadratic_weighted_kappa"].value == pytest.approx(kappa)


# ---- leaks ------------------------------------------------------------------------------------------------------------


def read_nothing(self: Store, key: str) -> ClipEmbeddings:
    raise AssertionError("features were read")


def test_patients_of_the_training_set_are_refused_before_features_are_read(
    judge: Judge,
    small_cache_of: MakeSmall,
    label_rows: Callable[[SmallCache], Rows],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other clips of a patient who was in training too."""
    rows = label_rows(small_cache_of(Plain(), **OTHERS))
    for row in rows[:3]:
        row["patient_id"] = "made-up-0002"
    monkeypatch.setattr(Store, "read", read_nothing)
    with pytest.raises(LeakError, match="1 patients of the label table were in this model's training"):
        judge(Plain(), rows)


def test_clips_of_the_training_set_are_refused_under_another_patient_s_name_too(
    judge: Judge, tmp_path: Path, label_rows: Callable[[SmallCache], Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    same = make_small_cache(tmp_path / "same", Plain(), n_patients=18)
    rows = [row | {"patient_id": f"new-{row['patient_id']}"} for row in label_rows(same)]
    monkeypatch.setattr(Store, "read", read_nothing)
    with pytest.raises(LeakError, match=r"18 patients of the label table were .*, \.\.\.\)"):
        judge(Plain(), rows, same)
    with pytest.raises(LeakError, match=r"54 clips of the label table were .*, \.\.\.\)"):
        judge(Plain(), rows, same, trust_table=True)


def test_one_clip_of_an_exam_is_enough_of_a_leak(
    judge: Judge, tmp_path: Path, small_cache_of: MakeSmall, label_rows: Callable[[SmallCache], Rows]
) -> None:
    """The clip was in training; its exam and its patient have other names here."""
    same = make_small_cache(tmp_path / "same", OfExam(), n_patients=18)
    others = small_cache_of(OfExam(), **OTHERS)
    rows = label_rows(others)
    known = label_rows(same)[0]["clip"]
    for key, clip in others.clips().items():
        same.store.write(key, clip)
    rows.append(rows[0] | {"clip": known})
    with pytest.raises(LeakError, match=rf"1 clips of the label table were .*{known[:12]}"):
        judge(OfExam(), rows, same, trust_table=True)


# ---- what is missing --------------------------------------------------------------------------------------------------


def test_units_that_are_not_answered_are_counted_by_reason(
    judge: Judge, tmp_path: Path, trained: Callable[[Task], TrainingResult]
) -> None:
    """Stills are too short, and what lies far from training is unfamiliar."""
    others = make_small_cache(tmp_path / "others", Careful(), **OTHERS)
    moved = sorted(key for key, clip in others.clips().items() if clip.n_frames > 1)[:4]
    for key in moved:
        clip = others.store.read(key)
        embeddings = (clip.embeddings + 50).astype(np.float16)
        others.store.write(
            key, ClipEmbeddings(embeddings, clip.times_s, clip.source_frame, clip.status, clip.provenance)
        )
    result = judge(Careful(), small=others)
    reasons = result.as_dict()["n_not_assessable"]
    assert reasons["too-few-frames"] == 10
    assert reasons["unfamiliar"] >= 4
    assert sum(reasons.values()) + len(result.samples) == 30
    assert not set(moved) & set(result.samples.keys.tolist())
    assert f"{reasons['unfamiliar']} labelled units are not assessable: unfamiliar" in result.warnings


def test_where_everything_is_unfamiliar_there_is_nothing_to_judge(judge: Judge, tmp_path: Path) -> None:
    far = make_small_cache(tmp_path / "far", Careful(), signal=300.0, examples=[{"effusion": "1"}], **OTHERS)
    with pytest.raises(TableError, match="all 20 labelled units are too far from the training set of careful@"):
        judge(Careful(), small=far)


def changed(rows: Rows, **cells: str) -> Rows:
    return [row | cells for row in rows]


def test_one_class_alone_is_judged_as_far_as_it_goes_and_warned_of(
    judge: Judge, small_cache_of: MakeSmall, label_rows: Callable[[SmallCache], Rows], tmp_path: Path
) -> None:
    rows = changed(label_rows(small_cache_of(Signs(), **OTHERS)), b="1")
    result = judge(Signs(), rows, report=tmp_path / "report.html")
    assert "'B-lines': the labelled units are all of one class: there is no AUC" in result.warnings
    assert np.isnan(result.outcomes[1].metrics["roc_auc"].value)
    assert np.isnan(result.figures["mean_roc_auc"].value)
    assert np.isfinite(result.outcomes[1].performances["balanced"].sensitivity.value)
    assert np.isfinite(result.outcomes[0].metrics["roc_auc"].value)
    assert "all of one class" in (tmp_path / "report.html").read_text()


def test_an_outcome_that_no_unit_answers_has_no_figures_and_is_warned_of(
    judge: Judge, small_cache_of: MakeSmall, label_rows: Callable[[SmallCache], Rows], tmp_path: Path
) -> None:
    rows = changed(label_rows(small_cache_of(Signs(), **OTHERS)), b="")
    result = judge(Signs(), rows, report=tmp_path / "report.html")
    assert "'B-lines': no labelled unit answers it: there are no figures" in result.warnings
    assert len(result.outcomes[1].targets) == 0
    assert np.isfinite(result.outcomes[0].metrics["roc_auc"].value)
    assert (tmp_path / "report.html").exists()


def test_units_without_a_patient_are_refused(
    judge: Judge, small_cache_of: MakeSmall, label_rows: Callable[[SmallCache], Rows], tmp_path: Path
) -> None:
    others = small_cache_of(Plain(), **OTHERS)
    rows = label_rows(others)
    store = Cache.open(tmp_path / "no-ledger", create=True).store(others.store.spec)
    for row in rows:
        store.write(row["clip"], others.store.read(row["clip"]))
    rows[0]["patient_id"] = ""
    bare = SmallCache(tmp_path / "no-ledger", others.labels, store, others.site_key)
    with pytest.raises(TableError, match=r"1 clips have no patient\. Give the label table a column patient_id"):
        judge(Plain(), rows, bare)


def test_rows_that_are_not_cached_or_not_known_are_counted(
    judge: Judge, small_cache_of: MakeSmall, label_rows: Callable[[SmallCache], Rows]
) -> None:
    rows = label_rows(small_cache_of(Plain(), **OTHERS))
    rows[0]["effusion"] = rows[1]["effusion"] = ""
    rows[2]["clip"] = "0" * 64
    result = judge(Plain(), rows)
    said: Mapping[str, Any] = result.as_dict()
    assert (said["n_units"], said["n_not_known"], said["n_not_cached"]) == (27, 2, 1)
    assert any(
        "1 row of the label table has no clip in the cache (row 3 (line 4))" in warning for warning in said["warnings"]
    )


def test_weak_labels_are_told_of(judge: Judge) -> None:
    result = judge(OfFrame())
    assert result.samples.weak_labels
    assert any("weak labels" in warning for warning in result.warnings)
    assert "frames of 10 patients" in result.summary()


def test_a_model_of_another_version_of_the_task_is_told_of(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plain, "version", 2)
    result = judge(Plain())
    assert "the model was trained for version 1 of the task, labels are read by 2" in result.warnings


def test_features_of_another_fingerprint_cannot_be_judged(
    judge: Judge, tmp_path: Path, feature_spec: FeatureSpec
) -> None:
    others = make_small_cache(tmp_path / "wide", Plain(), dim=30, **OTHERS)
    with pytest.raises(CacheError, match=r"the cache holds no features that .* takes .*Run: lusfx extract"):
        judge(Plain(), small=others)


def test_a_task_that_no_plugin_provides_cannot_be_judged(judge: Judge, with_tasks: Callable[..., Registry]) -> None:
    with_tasks(Signs())
    with pytest.raises(UsageError, match="unknown task 'plain'; known: signs"):
        judge(Plain())


def test_a_task_that_no_plugin_provides_may_be_given(judge: Judge, with_tasks: Callable[..., Registry]) -> None:
    known = judge(Custom())
    with_tasks()
    assert json.dumps(judge(Custom(), given=Custom()).as_dict()) == json.dumps(known.as_dict())  # NaN equals nothing
    with pytest.raises(UsageError, match="answers 'plain', and the task given is 'signs'"):
        judge(Plain(), given=Signs())


def test_the_report_is_written_where_asked(judge: Judge, tmp_path: Path) -> None:
    result = judge(Plain(), report=tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "None of these patients was in its training" in html
    assert f"{result.outcomes[0].metrics['roc_auc'].value:.3f}" in html
    assert not any(key in html for key in result.samples.groups.tolist())
