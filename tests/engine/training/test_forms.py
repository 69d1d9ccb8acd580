"""A search over poolings and aggregations: what is tried, which is taken, and that the choice never sees who is tested."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.cache import Cache
from lusfx.contracts import LongestRun, Task
from lusfx.engine.samples.labels import labels_of, read_labels
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training import cross_validation
from lusfx.engine.training.cross_validation import CrossValidation, cross_validate_together
from lusfx.engine.training.forms import FormLearner, UnitsInForms, forms_of, samples_in_forms
from lusfx.engine.training.learner import Learner
from lusfx.engine.training.train import train_task
from lusfx.errors import TrainingRefusedError
from lusfx.plugins import load_registry
from lusfx.splits import patient_folds
from lusfx.task_model import TaskCard, UnitFeatures, load_task_model
from lusfx.testing.small_cache import SmallCache
from lusfx.types import NotAssessable

PATIENT, SIGNAL = 0, 1
MakeSamples = Callable[..., Samples]
MakeLearner = Callable[..., Learner]
POOLINGS = ["mean+max", "mean", "max", "mean+std", "mean+change", "mean+max+change"]


class Plain(Task):
    """Effusion, one answer a clip."""

    name = "plain"
    label_columns = ("effusion",)


class ByRun(Plain):
    """Effusion, by the longest run."""

    name, aggregate, frames_per_clip = "by-run", LongestRun(0.4, 0.2), 4


class Signs(Task):
    """A-lines and B-lines, each seen or not."""

    name, kind = "signs", "multi-label"
    classes = ("A-lines", "B-lines")
    label_columns = ("a", "b")


def in_forms(samples: Samples, *forms: str) -> Samples[UnitsInForms]:
    """Samples that have their signal in the last of the forms, and noise in the others."""
    rows = samples.units.features
    noise = rows.copy()
    noise[:, SIGNAL] = np.random.default_rng(5).normal(size=len(rows))
    ways = {form: UnitFeatures(rows if form == forms[-1] else noise, rows) for form in forms}
    return samples.with_units(UnitsInForms(ways))


def three_forms() -> list[Any]:
    return forms_of(Plain(), TaskCard.of(Plain()), search=True)[:3]


# ---- what is tried --------------------------------------------------------------------------------------------------


def test_a_search_offers_every_pooling_and_the_tasks_own_first() -> None:
    assert [str(form) for form in forms_of(Plain(), TaskCard.of(Plain()), search=True)] == POOLINGS
    assert [str(form) for form in forms_of(Plain(), TaskCard.of(Plain(), "max"), search=True)][:2] == ["max", "mean"]
    assert [str(form) for form in forms_of(Plain(), TaskCard.of(Plain()), search=False)] == ["mean+max"]


def test_a_search_of_a_task_that_aggregates_offers_other_rules() -> None:
    own, *others = forms_of(ByRun(), TaskCard.of(ByRun()), search=True)
    assert str(own) == "frames, then longest-run, above=0.4, seconds=0.2"
    assert own.aggregation is ByRun.aggregate
    assert [str(form).split(",")[1] for form in others] == [
        " then mean",
        " then longest-run",
        " then best-window",
        " then noisy-or",
    ]


def test_where_frames_are_units_or_weighed_by_the_head_there_is_one_form() -> None:
    class OfFrame(Plain):
        """Effusion, one answer a frame."""

        name, unit = "of-frame", "frame"

    assert len(forms_of(OfFrame(), TaskCard.of(OfFrame()), search=True)) == 1
    assert len(forms_of(Plain(), TaskCard.of(Plain(), "attention"), search=True)) == 1


# ---- what is taken --------------------------------------------------------------------------------------------------


def test_the_form_that_ranks_best_is_taken_and_all_heads_are_tried_in_it(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    forms = three_forms()
    samples = in_forms(made_up_samples(signal=6.0), *map(str, forms))
    learner = FormLearner(learner_of(spy, (spy, {"sign": -1.0})), forms)
    (learnt,) = learner.learn_together(samples, [0])
    assert learnt.chosen == "max: spy"
    assert set(learnt.outcome.merits) == {"mean+max: spy", "mean: spy", "max: spy", "max: spy sign=-1.0"}
    assert learnt.outcome.merits["max: spy"] == max(learnt.outcome.merits.values())
    expected = learnt.outcome.probabilities(samples.units.ways["max"])
    assert np.array_equal(learnt.probabilities(samples.units), expected)


def test_of_equal_forms_the_tasks_own_is_taken(made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any) -> None:
    forms, samples = three_forms(), made_up_samples()
    alike = samples.with_units(UnitsInForms({str(form): samples.units for form in forms}))
    (learnt,) = FormLearner(learner_of(spy), forms).learn_together(alike, [0])
    assert learnt.form is forms[0]


def test_outcomes_share_the_form_that_is_best_in_their_mean(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any
) -> None:
    forms = three_forms()
    samples = in_forms(made_up_samples(signal=6.0), *map(str, forms))
    targets = np.repeat(samples.targets, 2, axis=1)
    targets[:6, 1] = -1  # not known of two patients
    both = FormLearner(learner_of(spy), forms).learn_together(replace(samples, targets=targets), [0, 1])
    assert [str(learnt.form) for learnt in both] == ["max", "max"]


def test_a_form_that_cannot_be_learnt_is_left_out(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    forms, said = three_forms(), []
    samples = in_forms(made_up_samples(signal=6.0), *map(str, forms))
    fit = type(spy).fit

    def refuse(self: Any, training: Any, settings: Any, seed: int) -> Any:
        if np.isin(training.features[:, SIGNAL], samples.units.ways["max"].features[:, SIGNAL]).all():
            raise TrainingRefusedError("too few")
        return fit(self, training, settings, seed)

    monkeypatch.setattr(type(spy), "fit", refuse)
    (learnt,) = FormLearner(learner_of(spy, note=said.append), forms).learn_together(samples, [0])
    assert str(learnt.form) != "max"
    assert said == ["the search leaves out 'max': too few"]


def test_a_form_that_cannot_have_all_clips_is_left_out(small_cache_of: Any) -> None:
    small: SmallCache = small_cache_of(Plain(), n_patients=6)
    forms = forms_of(Plain(), TaskCard.of(Plain()), search=True)
    clips = {str(form): {key: form.maker.of_clip(clip) for key, clip in small.clips().items()} for form in forms}
    clips["mean+change"] = {key: NotAssessable("frame-times-unknown", "no times") for key in clips["mean"]}
    rows = read_labels(small.labels, Cache.open(small.cache), small.store, small.site_key)
    said: list[str] = []
    samples = samples_in_forms(labels_of(Plain(), rows), clips, forms, said.append)
    assert list(samples.units.ways) == [pooling for pooling in POOLINGS if pooling != "mean+change"]
    assert said == ["the search leaves out 'mean+change': not every clip can be assessed so"]


# ---- who is never seen ----------------------------------------------------------------------------------------------


def test_no_choice_of_a_form_sees_the_labels_of_those_who_are_tested(
    made_up_samples: MakeSamples, learner_of: MakeLearner, spy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All labels of the first fold's test side are turned over: that fold chooses and answers as before."""
    forms = three_forms()
    samples = in_forms(made_up_samples(signal=1.0), *map(str, forms))
    folds = patient_folds(samples.targets[:, 0], samples.groups, 3, 0)
    monkeypatch.setattr(cross_validation, "patient_folds", lambda *_: folds)

    def judged(targets: np.ndarray) -> CrossValidation:
        learner = FormLearner(learner_of(spy, (spy, {"sign": -1.0})), forms)
        (validation,) = cross_validate_together(learner, replace(samples, targets=targets), [0], 3, 1)
        return validation

    turned = samples.targets.copy()
    turned[folds[0].test] = 1 - turned[folds[0].test]
    before, after = judged(samples.targets), judged(turned)
    assert before.chosen[0][0] == after.chosen[0][0]
    assert np.array_equal(before.probabilities[0][folds[0].test], after.probabilities[0][folds[0].test])
    rest = np.setdiff1d(np.arange(len(samples)), folds[0].test)
    assert not np.array_equal(before.probabilities[0][rest], after.probabilities[0][rest])


# ---- through training -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("task", [Plain(), ByRun(), Signs()], ids=lambda task: task.name)
def test_a_search_takes_a_form_into_the_model_and_is_compared_with_none(
    small_cache_of: Any, tmp_path: Path, task: Task
) -> None:
    small: SmallCache = small_cache_of(task, n_patients=18, signal=3.0)
    facts: dict[str, Any] = {"n_folds": 2, "n_repeats": 2, "site_key": small.site_key, "head": "logistic"}
    (searched,) = train_task([task], small.labels, small.cache, tmp_path / "searched", search=True, **facts)
    model = load_task_model(searched.out, load_registry().heads.as_mapping(), {task.name: task})
    forms = {outcome.learnt.candidate.form for outcome in searched.outcomes}
    assert forms == {model.card.task.form}
    expected = [outcome.learnt.probabilities(searched.samples.units) for outcome in searched.outcomes]
    assert model.score(searched.samples.units, searched.fingerprint) == pytest.approx(np.stack(expected, axis=1))
    assert searched.search is not None
    evidence = json.loads((searched.out / "evidence.json").read_bytes())
    assert evidence["search"] == searched.as_dict()["search"] == searched.search.as_dict()
    if len(task.outcomes) == 1:  # several share their folds in a search, and have their own without
        (plain,) = train_task([task], small.labels, small.cache, tmp_path / "plain", **facts)
        default = plain.outcomes[0].metrics["roc_auc"]
        assert searched.search.default_auc.value == pytest.approx(default.value)
        gained = searched.outcomes[0].metrics["roc_auc"].value - default.value
        assert searched.search.difference.value == pytest.approx(gained)
        assert plain.search is None
