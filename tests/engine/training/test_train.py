"""Training end to end on made-up embeddings: every kind of task, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.cache import Store
from lusfx.contracts import (
    Abstention,
    Aggregation,
    BestWindow,
    LongestRun,
    Mean,
    MinSensitivity,
    NoisyOr,
    Task,
    Youden,
)
from lusfx.engine.training.result import TrainingResult
from lusfx.engine.training.train import train_task
from lusfx.errors import PluginError, UsageError
from lusfx.metrics import pairs, roc_auc, within_folds
from lusfx.plugins import load_registry
from lusfx.task_model import TaskModel, load_task_model
from lusfx.testing.small_cache import SmallCache
from lusfx.types import ClipEmbeddings

MakeSmall = Callable[..., SmallCache]
Train = Callable[..., TrainingResult]
pytestmark = pytest.mark.usefixtures("few_resamples")


class Plain(Task):
    """Effusion, one answer a clip."""

    name = "plain"
    label_columns = ("effusion",)


class OfExam(Plain):
    """Effusion, one answer an exam."""

    name, unit = "of-exam", "exam"


class OfFrame(Plain):
    """Effusion, one answer a frame."""

    name, unit, frames_per_clip = "of-frame", "frame", 4


class Organ(Task):
    """What is shown."""

    name, kind = "organ", "multi-class"
    classes = ("lung", "liver", "spleen")
    label_columns = ("organ",)


class Grade(Task):
    """How severe it is."""

    name, kind = "grade", "ordinal"
    classes = ("0", "1", "2")
    label_columns = ("grade",)


class GradeOfExam(Grade):
    """How severe the exam is."""

    name, unit = "grade-of-exam", "exam"


class Signs(Task):
    """A-lines and B-lines, each seen or not."""

    name, kind = "signs", "multi-label"
    classes = ("A-lines", "B-lines")
    label_columns = ("a", "b")


class SignsOfFrame(Signs):
    """A-lines and B-lines, each seen or not in a frame."""

    name, unit, frames_per_clip = "signs-of-frame", "frame", 3


class ByMean(Plain):
    """Effusion, by the mean over time."""

    name, aggregate, frames_per_clip = "by-mean", Mean(), 4


class ByRun(Plain):
    """Effusion, by the longest run."""

    name, aggregate, frames_per_clip = "by-run", LongestRun(0.4, 0.2), 4


class ByWindow(Plain):
    """Effusion, by the best window."""

    name, aggregate, frames_per_clip = "by-window", BestWindow(0.2), 4


class ByNoisyOr(Plain):
    """Effusion, by its chance to be seen."""

    name, aggregate, frames_per_clip = "by-noisy-or", NoisyOr(0.3), 4


class Median(Aggregation):
    """The median frame."""

    needs_times = False

    def __call__(self, probabilities: np.ndarray, durations_s: np.ndarray) -> float:
        return float(np.median(probabilities))


class ByMedian(Plain):
    """Effusion, by the median frame."""

    name, aggregate, frames_per_clip = "by-median", Median(), 4


class Custom(Plain):
    """Effusion, by the plugin's own pooling."""

    name, pooling = "custom", "custom"

    def pool(self, embeddings: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        return np.concatenate([np.median(embeddings, axis=0), embeddings.max(axis=0)])


class Careful(Plain):
    """Effusion, where the clip is like those of training."""

    name, abstain = "careful", Abstention(familiar=0.9)


@pytest.fixture
def train(small_cache_of: MakeSmall, tmp_path: Path) -> Train:
    """Trains one task quickly."""

    def run(task: Task, small: SmallCache | None = None, **wanted: Any) -> TrainingResult:
        small = small or small_cache_of(task, n_patients=36 if task.unit == "exam" else 18, signal=4.0)
        facts = {"n_folds": 2, "n_repeats": 1, "site_key": small.site_key, "force": True} | wanted
        (result,) = train_task([task], small.labels, small.cache, tmp_path / task.name, **facts)
        return result

    return run


def load(result: TrainingResult) -> TaskModel:
    return load_task_model(result.out, load_registry().heads.as_mapping(), {result.task.name: result.task})


KINDS = (Plain(), OfExam(), SignsOfFrame(), ByRun(), Careful())
SLOW_KINDS = (
    *(OfFrame(), Organ(), Grade(), GradeOfExam(), Signs()),
    *(ByMean(), ByWindow(), ByNoisyOr(), ByMedian(), Custom()),
)


@pytest.mark.parametrize(
    "task", [*KINDS, *(pytest.param(task, marks=pytest.mark.slow) for task in SLOW_KINDS)], ids=lambda task: task.name
)
def test_every_kind_of_task_is_learnt_and_its_model_says_what_was_learnt(train: Train, task: Task) -> None:
    result = train(task)
    assert [outcome.name for outcome in result.outcomes] == list(task.outcomes)
    for outcome in result.outcomes:
        assert outcome.metrics["roc_auc"].value > 0.75
    model = load(result)
    assert model.digest == result.digest
    assert model.card.training.n_units == len(result.samples)
    expected = [outcome.learnt.probabilities(result.samples.units) for outcome in result.outcomes]
    scored = model.score(result.samples.units, result.fingerprint)
    assert scored == pytest.approx(np.stack(expected, axis=1), abs=1e-9)
    assert task.name in result.summary()
    assert result.digest[:12] in result.summary()
    json.dumps(result.as_dict(), allow_nan=False)


@pytest.mark.slow
def test_a_task_that_pools_by_attention_gets_a_head_that_weighs_frames(train: Train) -> None:
    class Attentive(Plain):
        """Effusion, by the frames that matter."""

        name, pooling = "attentive", "attention"

    result = train(Attentive())
    assert result.outcomes[0].learnt.candidate.head.name == "attention"
    assert result.card.pooling == "attention"
    assert result.outcomes[0].metrics["roc_auc"].value > 0.7
    scored = load(result).score(result.samples.units, result.fingerprint)
    assert scored[:, 0] == pytest.approx(result.outcomes[0].learnt.probabilities(result.samples.units), abs=1e-9)


@pytest.mark.slow
def test_units_are_counted_as_what_they_are(train: Train) -> None:
    """Patients have an exam with clips of 11 readable frames, of 7 and of one."""
    clips, exams, frames = train(Plain()), train(OfExam()), train(OfFrame())
    assert [len(result.samples) for result in (clips, exams, frames)] == [18 * 3, 36, 18 * (4 + 4 + 1)]
    assert [result.as_dict()["n_clips"] for result in (clips, exams, frames)] == [54, 108, 54]
    assert [result.as_dict()["n_patients"] for result in (clips, exams, frames)] == [18, 36, 18]
    assert frames.as_dict()["weak_labels"]
    assert any("weak labels" in warning for warning in frames.warnings)
    assert "54 clips of 18 patients" in clips.summary()
    assert "36 exams of 36 patients" in exams.summary()


@pytest.mark.slow
def test_figures_can_be_computed_again_from_the_evidence(train: Train) -> None:
    result = train(Signs(), n_repeats=2)
    evidence = json.loads((result.out / "evidence.json").read_bytes())
    assert set(evidence["patients"]) == set(result.samples.groups.tolist())
    assert len(evidence["clips"]) == 54
    for outcome in result.outcomes:
        kept = evidence["outcomes"][outcome.name]
        validation = kept["cross_validation"]
        targets, repeats = np.array(validation["target"]), validation["repeats"]
        aucs = [
            within_folds(roc_auc, np.array(repeat["fold"]), pairs)(targets, np.array(repeat["probability"]))
            for repeat in repeats
        ]
        auc = np.mean(aucs)
        assert auc == pytest.approx(outcome.metrics["roc_auc"].value)
        assert kept["metrics"]["roc_auc"]["value"] == pytest.approx(auc)
        answers = np.array([repeat["answers"]["balanced"] for repeat in repeats])
        assert answers[:, targets == 1].mean() == pytest.approx(outcome.performances["balanced"].sensitivity.value)
        assert answers[:, targets == 0].mean() == pytest.approx(1 - outcome.performances["balanced"].specificity.value)
        assert repeats[0]["chosen"] == ["mlp"] * 2


@pytest.mark.slow
def test_the_card_holds_calibration_thresholds_and_rules(train: Train) -> None:
    class Pointed(Plain):
        """Effusion, with two thresholds."""

        name = "pointed"
        operating_points = {"screen": MinSensitivity(0.9), "balanced": Youden()}  # noqa: RUF012

    result = train(Pointed())
    (outcome,) = load(result).card.outcomes
    assert outcome.decides == "screen"
    assert {name: point.threshold for name, point in outcome.operating_points.items()} == dict(
        result.outcomes[0].learnt.thresholds
    )
    assert outcome.operating_points["screen"].rule.kind == "min-sensitivity"
    assert outcome.calibration is not None
    assert outcome.calibration.kind == "platt"
    assert (outcome.n_units, outcome.n_events) == (54, 27)
    plain = train(Pointed(), calibration="none")
    assert load(plain).card.outcomes[0].calibration is None


@pytest.mark.slow
def test_a_limit_of_familiarity_is_taken_from_other_patients_distances(train: Train) -> None:
    result = train(Careful())
    assert result.novelty is not None
    novelty, limit = result.novelty
    own = novelty.distance(result.samples.units.centres)
    assert np.quantile(own, 0.9) < limit  # their own distances are too small to be the measure
    model = load(result)
    assert model.card.novelty is not None
    assert model.card.novelty.limit == limit
    assert result.as_dict()["familiar_limit"] == limit
    far = result.samples.units.take(np.array([0]))
    far.centres[:] += 100
    (reason,) = model.unfamiliar(model.distances(far))
    assert reason is not None
    assert reason.code == "unfamiliar"
    plain = train(Plain())  # which says how far, and answers all the same
    assert plain.novelty is not None
    assert load(plain).distances(far)[0] > plain.novelty[1]
    assert load(plain).unfamiliar(load(plain).distances(far)) == [None]


@pytest.mark.slow
def test_what_cannot_be_assessed_is_counted(train: Train) -> None:
    class Long(Plain):
        """Effusion, in clips that are long enough."""

        name, abstain = "long", Abstention(min_frames=5)

    result = train(Long())
    assert len(result.samples) == 36
    assert result.as_dict()["n_not_assessable"] == {"too-few-frames": 18}
    assert "18 labelled units are not assessable: too-few-frames" in result.warnings


@pytest.mark.slow
def test_several_tasks_are_trained_in_one_pass_and_as_by_themselves(
    train: Train, small_cache_of: MakeSmall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = small_cache_of(Plain(), n_patients=18, signal=4.0)
    reads: list[str] = []
    read = Store.read

    def counted(self: Store, key: str) -> ClipEmbeddings:
        reads.append(key)
        return read(self, key)

    monkeypatch.setattr(Store, "read", counted)
    tasks = [Plain(), OfFrame(), ByRun()]
    results = train_task(
        tasks, small.labels, small.cache, tmp_path / "all", n_folds=2, n_repeats=1, site_key=small.site_key
    )
    assert [result.out for result in results] == [tmp_path / "all" / task.name for task in tasks]
    assert len(reads) == 54
    for task, result in zip(tasks, results, strict=True):
        alone = train(task, small)
        assert (alone.out / "evidence.json").read_bytes() == (result.out / "evidence.json").read_bytes()


@pytest.mark.slow
def test_tasks_may_be_named_or_given(train: Train, small_cache_of: MakeSmall, tmp_path: Path) -> None:
    registered = load_registry().task("b-lines")
    small = small_cache_of(registered, n_patients=12)
    facts = {"n_folds": 2, "n_repeats": 1, "site_key": small.site_key}
    (named,) = train_task(["b-lines"], small.labels, small.cache, tmp_path / "named", **facts)
    given = train(registered, small)
    assert (named.out / "evidence.json").read_bytes() == (given.out / "evidence.json").read_bytes()
    with pytest.raises(UsageError, match=r"unknown task 'b-limes'; known: .*b-lines"):
        train_task(["b-limes"], small.labels, small.cache, tmp_path / "none", **facts)


def test_a_task_that_is_not_sound_is_told_of_before_anything_is_read(train: Train, small_cache_of: MakeSmall) -> None:
    class Unsound(Plain):
        """Effusion, one answer an organ."""

        unit = "organ"

    with pytest.raises(PluginError, match="task 'plain': 'unit' must be"):
        train(Unsound(), small_cache_of(Plain(), n_patients=18, signal=4.0))


@pytest.mark.slow
@pytest.mark.parametrize("task", [Signs(), Careful(), ByRun()], ids=lambda task: task.name)
def test_the_same_call_gives_the_same_files_but_for_the_time(
    train: Train, small_cache_of: MakeSmall, task: Task, tmp_path: Path
) -> None:
    small = small_cache_of(task, n_patients=18, signal=4.0)
    facts = {"n_folds": 2, "n_repeats": 2, "site_key": small.site_key}
    (one,) = train_task([task], small.labels, small.cache, tmp_path / "one", **facts)
    (other,) = train_task([task], small.labels, small.cache, tmp_path / "other", **facts)
    names = {place.name for place in one.out.iterdir()}
    assert names == {place.name for place in other.out.iterdir()} >= {"task_model.json", "report.html"}
    assert all((one.out / n).read_bytes() == (other.out / n).read_bytes() for n in names - {"task_model.json"})
    cards = [json.loads((result.out / "task_model.json").read_bytes()) for result in (one, other)]
    for card in cards:
        assert card["training"].pop("created")
        assert card.pop("card_sha256")
    assert cards[0] == cards[1]


@pytest.mark.slow
def test_another_seed_makes_other_folds(train: Train) -> None:
    one, other = (train(Plain(), seed=seed) for seed in (0, 1))
    assert one.outcomes[0].validation.folds.tolist() != other.outcomes[0].validation.folds.tolist()
    assert other.seed == load(other).card.training.seed == 1


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "many", "expected"), [(None, 500, 5), (None, 18, 1), (3, 500, 3), (3, 18, 3)])
def test_cross_validation_is_repeated_as_asked_or_as_patients_are_few(
    train: Train, monkeypatch: pytest.MonkeyPatch, asked: int | None, many: int, expected: int
) -> None:
    monkeypatch.setattr("lusfx.engine.training.train.MANY_PATIENTS", many)
    said: list[str] = []
    result = train(Plain(), n_repeats=asked, progress=said.append)
    assert result.n_repeats == result.as_dict()["n_repeats"] == expected
    assert len({str(folds) for folds in result.outcomes[0].validation.folds.tolist()}) == expected
    assert f"plain: repeat 1 of {expected}, fold 1 of 2" in said
    assert said[-1] == "plain: fitting on all patients"


@pytest.mark.slow
def test_a_head_its_settings_and_the_pooling_may_be_chosen(train: Train) -> None:
    result = train(Plain(), head="lightgbm", settings={"rounds": "7"}, pooling="mean+std")
    said = result.as_dict()
    assert said["pooling"] == "mean+std"
    assert said["outcomes"][0]["head"] == "lightgbm"
    assert said["outcomes"][0]["settings"]["rounds"] == 7
    assert load(result).card.features.n_features == 48
    assert load(result).card.features.dim == 24


@pytest.mark.slow
def test_a_search_of_one_head_is_recorded(train: Train) -> None:
    result = train(Plain(), head="logistic", pooling="mean", search=True)
    (outcome,) = result.outcomes
    assert set(outcome.learnt.merits) == {"logistic", "logistic logit_variance=0.5", "logistic logit_variance=8.0"}
    assert str(outcome.learnt.candidate) == max(outcome.learnt.merits, key=lambda name: outcome.learnt.merits[name])
    assert result.as_dict()["outcomes"][0]["searched"] == dict(outcome.learnt.merits)
    evidence = json.loads((result.out / "evidence.json").read_bytes())
    assert evidence["outcomes"]["yes"]["searched"] == dict(outcome.learnt.merits)
    chosen = evidence["outcomes"]["yes"]["cross_validation"]["repeats"][0]["chosen"]
    assert set(chosen) <= set(outcome.learnt.merits)


@pytest.mark.slow
def test_a_search_of_all_heads_takes_those_that_take_the_same_features(train: Train) -> None:
    result = train(Plain(), pooling="mean", search=True)
    heads = {name.partition(" ")[0] for name in result.outcomes[0].learnt.merits}
    assert heads == {"logistic", "lightgbm", "mlp"}


@pytest.mark.slow
def test_fewer_than_a_hundred_events_are_warned_of(train: Train, small_cache_of: MakeSmall) -> None:
    few = train(Plain())
    assert any("only 27 units are 'no' to 'plain: yes': below 100" in warning for warning in few.warnings)
    enough = train(OfFrame(), small_cache_of(OfFrame(), n_patients=24, signal=4.0))
    assert not any("below 100" in warning for warning in enough.warnings)
