"""A study's file is checked whole, and what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lusfx.errors import UsageError
from lusfx.plugins import Registry, build_registry
from lusfx.studies.config import StudyConfig, checked_config, read_config
from lusfx.studies.questions import resolve_questions

TOML = """
train = "tables/train.csv"
tests = { external = "tables/other.csv" }
baseline = { encoder = "imagenet", way = "linear" }

[[tasks]]
task = "b-lines"

[[encoders]]
name = "imagenet"
encoder = "efficientnet-lite0"

[[encoders]]
name = "ours"
encoder = "run/encoder"

[[ways]]
name = "linear"
kind = "head"

[[ways]]
name = "tuned"
kind = "fine-tune"
encoders = ["ours"]
settings = { epochs = 3 }
"""


def values(**changes: Any) -> dict[str, Any]:
    return {
        "train": "train.csv",
        "tasks": [{"task": "b-lines"}],
        "encoders": [{"name": "a", "encoder": "x"}, {"name": "b", "architecture": "y"}],
        "ways": [{"name": "w", "kind": "head"}, {"name": "t", "kind": "fine-tune", "encoders": ["b"]}],
        "baseline": {"encoder": "a", "way": "w"},
        **changes,
    }


def test_paths_are_relative_to_the_file_and_an_encoder_may_be_a_directory_beside_it(tmp_path: Path) -> None:
    (tmp_path / "run" / "encoder").mkdir(parents=True)
    (tmp_path / "study.toml").write_text(TOML)
    config = read_config(tmp_path / "study.toml")
    assert config.train == tmp_path / "tables" / "train.csv"
    assert config.tests == {"external": tmp_path / "tables" / "other.csv"}
    assert [entry.encoder for entry in config.encoders] == ["efficientnet-lite0", str(tmp_path / "run" / "encoder")]
    assert [entry.name for entry in config.encoders_of(config.ways[1])] == ["ours"]
    assert config.fractions_of(config.ways[1]) == (1.0, 0.1, 0.01)


def test_json_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(json.dumps(values()))
    assert read_config(tmp_path / "study.json") == checked_config(values(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drawz": 3}, "drawz: there is no such setting"),
        ({"draws": 0}, "draws: it must be greater than or equal to 1"),
        ({"fractions": [1.0, 1.5]}, "fractions.2: it must be less than or equal to 1"),
        ({"fractions": [0.1, 0.1]}, "fractions: '0.1' stands twice"),
        ({"train": None}, "task 'b-lines' has no table to train on"),
        ({"tests": {"train": "x.csv"}}, "a test set cannot be called 'train'"),
        ({"encoders": [{"name": "a"}]}, "encoders.1: name an encoder or an architecture, one of the two"),
        ({"encoders": [{"name": "a", "encoder": "x", "size": 64}]}, "layer, weights and size go with an architecture"),
        ({"encoders": [{"name": "a|b", "encoder": "x"}]}, "encoders.1.name: String should match pattern"),
        ({"encoders": [{"name": "a", "encoder": "x"}] * 2}, "encoders: 'a' stands twice"),
        ({"ways": [{"name": "w", "kind": "tune"}]}, "ways.1: Input tag 'tune' found using 'kind'"),
        ({"ways": [{"name": "w", "kind": "head", "encoders": ["c"]}]}, "there is no 'c'; there are a, b"),
        ({"ways": [{"name": "w", "kind": "head", "fractions": [0.5]}]}, "way 'w', fractions: there is no '0.5'"),
        ({"baseline": {"encoder": "c", "way": "w"}}, "baseline, encoder: there is no 'c'; there are a, b"),
        ({"baseline": {"encoder": "a", "way": "t"}}, "way 't' is not done with encoder 'a'"),
    ],
)
def test_what_makes_no_sense_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked_config(values(**changes), Path())
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("study.yaml", "", "ends in .toml or .json"),
        ("study.toml", "a = = 1", "is no TOML"),
        ("study.json", "{", "is no JSON"),
        ("study.json", "[]", "it must be a valid dictionary"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        read_config(tmp_path / name)


def test_a_file_that_is_not_there_is_not_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read") as caught:
        read_config(tmp_path / "doe.toml")
    assert "doe" not in str(caught.value)


@pytest.fixture
def graded() -> Registry:
    from lusfx.contracts import Task

    class Graded(Task):
        """How much, one answer a clip."""

        name, kind, classes, label_columns = "graded", "ordinal", ("none", "some", "much"), ("grade",)

    registry = build_registry([])
    catalogue: Any = registry.tasks
    catalogue.add("graded", Graded(), "a test")
    return registry


def questions(registry: Registry, *tasks: dict[str, Any]) -> Any:
    return resolve_questions(checked_config(values(tasks=list(tasks)), Path("/data")), registry)


def test_an_outcome_is_chosen_by_name(graded: Registry) -> None:
    first, second = questions(
        graded,
        {"task": "graded", "outcome": "at least much"},
        {
            "task": "graded",
            "outcome": "at least some",
            "name": "any",
            "tests": {"local": "local.csv", "far": "far.csv"},
        },
    )
    assert (first.name, first.outcome, first.test_sets, first.cross_validated) == (
        "graded, at least much",
        1,
        ["local"],
        True,
    )
    assert (second.name, second.test_sets, second.cross_validated) == ("any", ["local", "far"], False)
    assert second.tables == {
        "train": Path("/data/train.csv"),
        "local": Path("/data/local.csv"),
        "far": Path("/data/far.csv"),
    }


def test_a_task_of_several_outcomes_needs_one_and_names_are_told_apart(graded: Registry) -> None:
    with pytest.raises(UsageError, match="has the outcomes at least some, at least much: name one"):
        questions(graded, {"task": "graded"})
    with pytest.raises(UsageError, match="'graded, at least some' stands twice"):
        questions(graded, *[{"task": "graded", "outcome": "at least some"}] * 2)
    with pytest.raises(UsageError, match="unknown task"):
        questions(graded, {"task": "unheard-of"})


def test_defaults_are_those_of_the_paper() -> None:
    config = StudyConfig.model_validate(values())
    assert (config.fractions, config.draws) == ((1.0, 0.1, 0.01), 20)
