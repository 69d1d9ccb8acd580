"""Models that need a plugin: its head, or its task where that brings code of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import Aggregation, Bags, Features, Head, HeadSettings, HeadSpec, Mean, Task, TrainingSet
from lusfx.errors import TaskModelError
from lusfx.task_model import HeadCard, TaskCard, UnitFeatures


class Highest(Aggregation):
    """The most probable frame."""

    def __call__(self, probabilities: Any, durations_s: Any) -> float:
        return float(probabilities.max())


class PoolsByItself(Task):
    """Is there movement?"""

    name, version = "movement", 3
    label_columns = ("movement",)
    pooling = "custom"

    def pool(self, embeddings: Any, times_s: Any) -> Any:
        return np.abs(np.diff(embeddings, axis=0)).mean(axis=0)


class AggregatesByItself(Task):
    """Is there movement?"""

    name, version = "movement", 3
    label_columns = ("movement",)
    aggregate = Highest()


class NewerVersion(PoolsByItself):
    """Is there movement?"""

    version = 4


class WithoutAggregation(Task):
    """Is there movement?"""

    name, version = "movement", 3
    label_columns = ("movement",)


@pytest.mark.parametrize("task", [PoolsByItself(), AggregatesByItself()])
def test_code_of_a_task_is_needed_in_the_same_version(task: Task, models: Any, tmp_path: Path) -> None:
    directory = tmp_path / "canary" / "movement"
    models.save(directory, models.make_facts(task=task), models.files_of(models.plain_head()))
    model = models.load(directory, {"movement": task})
    assert model.card.task.needs_plugin
    assert model.task is task
    assert models.verify(directory, {"movement": task}) == []

    needs = "needs the code of the task 'movement', version 3"
    assert f"{needs}, which no plugin provides. See: lusfx plugins" in models.refusal(directory)
    assert "which no plugin provides" in models.refusal(directory, {"other": task})
    assert f"{needs}, and version 4 is installed" in models.refusal(directory, {"movement": NewerVersion()})


def test_a_tasks_own_aggregation_is_called(models: Any, tmp_path: Path) -> None:
    task = AggregatesByItself()
    models.save(tmp_path / "m", models.make_facts(task=task), models.files_of(models.plain_head()))
    model = models.load(tmp_path / "m", {"movement": task})
    rows = np.zeros((3, models.n_features), np.float32)
    rows[:, 0] = (-1, 3, 0)
    units = UnitFeatures(Bags(rows, np.array([0, 3])), rows[:1], [np.ones(3)])
    assert model.score(units, models.fingerprint)[0, 0] == pytest.approx(1 / (1 + np.exp(-3)))
    refused = models.refusal(tmp_path / "m", {"movement": WithoutAggregation()})
    assert "the installed task 'movement' has no aggregation" in refused


def test_known_aggregations_and_poolings_need_no_plugin() -> None:
    for task in (WithoutAggregation(), type("Calm", (WithoutAggregation,), {"aggregate": Mean(), "__doc__": "?"})()):
        assert not TaskCard.of(task).needs_plugin


def test_a_subclass_of_a_known_aggregation_is_code_of_its_own() -> None:
    class Median(Mean):
        def __call__(self, probabilities: Any, durations_s: Any) -> float:
            return float(np.median(probabilities))

    task = type("Calm", (WithoutAggregation,), {"aggregate": Median(), "__doc__": "?"})()
    card = TaskCard.of(task)
    assert card.aggregate is not None
    assert (card.aggregate.kind, card.needs_plugin) == ("custom", True)


def test_an_unknown_head_says_which_there_are(logistic: Path, models: Any) -> None:
    with pytest.raises(TaskModelError, match="needs the head 'logistic', which no plugin provides; there are mlp"):
        models.load(logistic, specs={"mlp": models.specs["mlp"]})
    with pytest.raises(TaskModelError, match="there are none"):
        models.load(logistic, specs={})


class Telling(Head):
    """A plugin's head that does what its file says."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def predict_proba(self, features: Features) -> Any:
        n_rows = len(features)
        return {
            "sound": np.full((n_rows, 2), 0.5),
            "three classes": np.full((n_rows, 3), 1 / 3),
            "not summing": np.full((n_rows, 2), 0.6),
            "negative": np.tile([-0.5, 1.5], (n_rows, 1)),
            "nan": np.full((n_rows, 2), np.nan),
            "one row": np.full((1, 2), 0.5),
            "one axis": np.full(n_rows, 0.5),
            "no array": None,
        }[self.answer]

    def files(self) -> Mapping[str, bytes]:
        return {"answer.txt": self.answer.encode(), "more.bin": b"\0"}


class TellingSpec(HeadSpec):
    name = "telling"
    summary = "for tests"
    settings = HeadSettings

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
        return Telling("sound")

    def load(self, files: Mapping[str, bytes]) -> Head:
        assert set(files) == {"answer.txt", "more.bin"}  # its own files alone, by its own names for them
        return Telling(files["answer.txt"].decode())


def test_a_plugins_head_is_given_its_own_files(models: Any, tmp_path: Path) -> None:
    facts = models.make_facts(outcome={"head": HeadCard(name="telling", settings={})})
    models.save(tmp_path / "m", facts, models.files_of(Telling("sound")))
    model = models.load(tmp_path / "m", specs={"telling": TellingSpec()})
    rows = np.zeros((3, models.n_features), np.float32)
    assert model.score(UnitFeatures(rows, rows), models.fingerprint).tolist() == [[0.5]] * 3


@pytest.mark.parametrize(
    "answer", ["three classes", "not summing", "negative", "nan", "one row", "one axis", "no array", "unheard of"]
)
def test_a_plugins_head_must_give_probabilities(answer: str, models: Any, tmp_path: Path) -> None:
    facts = models.make_facts(outcome={"head": HeadCard(name="telling", settings={})})
    models.save(tmp_path / "m", facts, models.files_of(Telling(answer)))
    with pytest.raises(TaskModelError, match="the head"):
        models.load(tmp_path / "m", specs={"telling": TellingSpec()})


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), RecursionError(), MemoryError()], ids=repr)
def test_whatever_a_plugins_head_raises_is_one_kind_of_error(error: BaseException, models: Any, tmp_path: Path) -> None:
    class Raising(TellingSpec):
        def load(self, files: Mapping[str, bytes]) -> Head:
            raise error

    facts = models.make_facts(outcome={"head": HeadCard(name="telling", settings={})})
    models.save(tmp_path / "m", facts, models.files_of(Telling("sound")))
    with pytest.raises(TaskModelError, match=f"the head 'telling' cannot be loaded .{type(error).__name__}"):
        models.load(tmp_path / "m", specs={"telling": Raising()})
