"""Starter models: what they may say of themselves, how they are named, and that those that come with lusfx are sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lusfx.config import FeatureSpec
from lusfx.encoders import BUNDLED, DEFAULT_ENCODER
from lusfx.encoders.card import read_card
from lusfx.errors import TaskModelError, UsageError
from lusfx.task_model import model_place, model_places, starter_names

ORDERS_ONLY = {"operating_points": {}, "decides": None}


@pytest.fixture
def starter(models: Any, tmp_path: Path) -> Path:
    """A starter model that is none of lusfx's own."""
    directory = tmp_path / "starters" / "b-lines"
    facts = models.make_facts(outcome=ORDERS_ONLY, trained_on="simulated")
    models.save(directory, facts, models.files_of(models.plain_head()), evidence())
    return directory


def evidence(**changes: Any) -> dict[str, Any]:
    outcome: dict[str, Any] = {"metrics": {}} | changes
    return {"patients": [], "clips": [], "outcomes": {"yes": outcome}}


# ---- what the card allows -----------------------------------------------------------------------------------------


def test_a_starter_scores_and_decides_nothing(models: Any, starter: Path) -> None:
    model = models.load(starter)
    assert model.card.orders_only
    units = models.units_of("logistic")
    scores = model.score(units, models.fingerprint)
    assert scores.shape == (len(units), 1)
    with pytest.raises(TaskModelError, match="only orders"):
        model.answers(scores)


def test_what_is_no_starter_says_nothing_of_it(models: Any, logistic: Path) -> None:
    assert "trained_on" not in (logistic / "task_model.json").read_text()
    assert not models.load(logistic).card.orders_only


@pytest.mark.parametrize(
    "changes",
    [
        {"trained_on": "simulated"},  # with operating points
        {"outcome": ORDERS_ONLY},  # of patients, and decides nothing
        {"outcome": {"operating_points": {}}, "trained_on": "simulated"},
        {"outcome": {"decides": None}, "trained_on": "simulated"},
        {"outcome": ORDERS_ONLY, "trained_on": "patients"},
        {"outcome": ORDERS_ONLY, "trained_on": "simulated", "recalibrated_from": "ab" * 32},
        {"outcome": ORDERS_ONLY, "trained_on": "simulated", "novelty": {"limit": 2.0}},
        {
            "outcome": ORDERS_ONLY | {"calibration": {"kind": "platt", "slope": 1.0, "intercept": 0.0}},
            "trained_on": "simulated",
        },
    ],
)
def test_a_card_that_claims_more_or_less_than_it_can_is_refused(models: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        models.make_facts(**changes)


def test_figures_of_simulated_patients_are_no_evidence(models: Any, tmp_path: Path) -> None:
    facts = models.make_facts(outcome=ORDERS_ONLY, trained_on="simulated")
    auc = {"value": 0.99, "low": 0.98, "high": 1.0}
    with pytest.raises(TaskModelError, match="figures"):
        models.save(tmp_path / "m", facts, models.files_of(models.plain_head()), evidence(metrics={"roc_auc": auc}))
    on_patients = {"data": "a set", "n_units": 9, "n_events": 3, "n_patients": 5, "roc_auc": auc}
    models.save(tmp_path / "m", facts, models.files_of(models.plain_head()), evidence(judged=[on_patients]))
    assert models.load(tmp_path / "m").evidence["outcomes"]["yes"]["judged"] == [on_patients]


# ---- how they are named -------------------------------------------------------------------------------------------


@pytest.fixture
def own(starter: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The starter as if it came with lusfx, and a working directory of the test's own."""
    monkeypatch.setattr("lusfx.task_model.starter.STARTERS", starter.parent)
    monkeypatch.chdir(starter.parents[1])
    return starter


def test_text_that_begins_with_starter_is_a_name_and_all_else_a_path(own: Path) -> None:
    assert starter_names() == ["starter/b-lines"]
    assert model_place("starter/b-lines") == own
    for path in ("./starter/b-lines", "models/starter/b-lines", "starter-b-lines", "starters", Path("starter/b-lines")):
        assert model_place(path) == Path(path)
    assert model_places("models", "starter/b-lines") == [own]
    assert model_places("models", ["starter/b-lines", Path("x")]) == [own, Path("x")]
    with pytest.raises(UsageError, match="expected paths"):
        model_places("models", [3])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "name", ["starter/", "starter", "starter/nothing", "starter/../starters/b-lines", "starter//b-lines"]
)
@pytest.mark.usefixtures("own")
def test_what_is_no_starter_lists_those_that_there_are(name: str) -> None:
    with pytest.raises(UsageError, match="there are: starter/b-lines"):
        model_place(name)


def test_a_folder_of_the_same_name_is_a_reason_to_ask(own: Path) -> None:
    Path("starter/b-lines").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"\./starter/"):
        model_place("starter/b-lines")
    assert model_place("./starter/b-lines") == model_place(Path("starter/b-lines")) == Path("starter/b-lines")
    assert model_place("starter") == Path("starter")  # a folder of models, since no model has this name


# ---- those that come with lusfx -----------------------------------------------------------------------------------


def test_some_come_with_lusfx() -> None:
    assert starter_names()


@pytest.mark.parametrize("name", starter_names())
def test_what_comes_with_lusfx_is_sound_and_says_what_it_is(name: str, models: Any) -> None:
    """Numbers are not looked at here: they are other ones with each encoder."""
    place = model_place(name)
    assert models.verify(place) == []
    model = models.load(place)
    encoder = read_card(BUNDLED / DEFAULT_ENCODER)
    spec = FeatureSpec(encoder=encoder.identity, preprocess=encoder.preprocess)
    remake = "the default encoder is another one: run tools/make_starter_models.py again"
    assert model.card.features.fingerprint == spec.fingerprint, remake
    assert model.card.features.encoder == DEFAULT_ENCODER
    assert f"starter/{model.card.task.name}" == name
    assert model.card.orders_only
    assert model.evidence["patients"] == []
    for outcome in model.evidence["outcomes"].values():
        assert outcome["judged"]
        assert all(each["roc_auc"]["low"] > 0.6 for each in outcome["judged"])
    assert "simulated exams alone" in (place / "report.html").read_text()
    assert model.task is None  # no plugin is needed to score
    assert sum(file.stat().st_size for file in place.iterdir()) < 2_000_000
