"""A task model that brings its encoder along: written whole, proved whole, and replaced as any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lusfx.config import FeatureSpec
from lusfx.encoders.card import read_card
from lusfx.errors import TaskModelError
from lusfx.task_model import FeaturesCard, encoder_sha256
from tests.conftest import write_bare_encoder

ENCODER_FILES = ("MODEL_CARD.md", "encoder.json", "encoder.onnx")


@pytest.fixture
def encoder(tmp_path: Path, models: Any) -> Path:
    write_bare_encoder(tmp_path / "made", models.n_features)
    return tmp_path / "made"


@pytest.fixture
def facts(encoder: Path, models: Any) -> Any:
    """Facts of a model that takes what the encoder makes."""
    card = read_card(encoder)
    features = FeaturesCard(
        fingerprint=FeatureSpec(encoder=card.identity, preprocess=card.preprocess).fingerprint,
        encoder=card.name,
        dim=models.n_features,
        n_features=models.n_features,
    )
    return models.make_facts(features=features, own_encoder=encoder_sha256(encoder))


@pytest.fixture
def save(facts: Any, encoder: Path, models: Any) -> Any:
    """Writes the model with its encoder."""

    def write(directory: Path, stated: Any = None, own_encoder: Path | None = encoder) -> str:
        from lusfx.task_model import save_task_model

        stated = stated or facts
        files = models.files_of(models.plain_head())
        evidence = models.make_evidence(stated.task.outcomes)
        return save_task_model(directory, stated, files, evidence, models.report, own_encoder=own_encoder)

    return write


@pytest.fixture
def model(save: Any, tmp_path: Path) -> Path:
    directory = tmp_path / "canary" / "b-lines"
    save(directory)
    return directory


def test_the_encoder_is_brought_along(model: Path, encoder: Path, models: Any) -> None:
    loaded = models.load(model)
    assert loaded.own_encoder == model / "encoder"
    assert loaded.encoder_argument == "MODEL/encoder"
    assert models.verify(model) == []
    assert sorted(path.name for path in (model / "encoder").iterdir()) == sorted(ENCODER_FILES)
    for name in ENCODER_FILES:
        assert (model / "encoder" / name).read_bytes() == (encoder / name).read_bytes()
        assert (model / "encoder" / name).stat().st_mode & 0o777 == 0o600
    assert (model / "encoder").stat().st_mode & 0o777 == 0o700


def test_a_model_without_an_encoder_does_not_speak_of_one(logistic: Path, models: Any) -> None:
    """So that its card is what it was before models could bring one along."""
    assert "own_encoder" not in json.loads((logistic / "task_model.json").read_text())
    loaded = models.load(logistic)
    assert loaded.own_encoder is None
    assert loaded.encoder_argument == "mobilenetv3-small"


@pytest.mark.parametrize("name", ENCODER_FILES)
def test_damage_to_any_file_of_the_encoder_is_found(name: str, model: Path, models: Any) -> None:
    path = model / "encoder" / name
    content = path.read_bytes()
    for damaged in (bytes([content[0] ^ 1]) + content[1:], content[:-1], content + b" ", b""):
        path.write_bytes(damaged)
        assert f"encoder/{name} does not have the content that was written" in models.refusal(model)
    path.unlink()
    assert f"{name} is missing" in models.refusal(model)
    path.symlink_to(model / "report.html")
    assert f"encoder/: {name}" in models.refusal(model)


def test_another_encoder_in_its_place_is_found(model: Path, models: Any, tmp_path: Path) -> None:
    """One that is sound by itself, and also where the card of the task model was changed to name it."""
    other = tmp_path / "other"
    write_bare_encoder(other, models.n_features, b"another graph")
    for name in ENCODER_FILES:
        (model / "encoder" / name).write_bytes((other / name).read_bytes())
    assert "encoder/encoder.json does not have the content" in models.refusal(model)
    models.edit_card(model, {"own_encoder": encoder_sha256(other)})
    assert "makes other features than the heads take" in models.refusal(model)


def test_a_missing_encoder_and_a_foreign_file_are_found(model: Path, models: Any) -> None:
    (model / "encoder" / "notes.txt").write_text("mine")
    assert "entries in 'encoder' that its encoder.json does not list (1)" in models.refusal(model)
    (model / "encoder" / "notes.txt").unlink()
    (model / "encoder").rename(model.parent / "away")
    assert "the directory 'encoder' is missing" in models.refusal(model)
    (model / "encoder").symlink_to(model.parent / "away")
    assert "the directory 'encoder' is missing" in models.refusal(model)


def test_a_hostile_encoder_card_is_refused(model: Path, models: Any) -> None:
    for content in (b"[]", b"{", b'{"format": "lusfx-encoder", "files": {"../../x": ""}}'):
        (model / "encoder" / "encoder.json").write_bytes(content)
        models.edit_card(model, {"own_encoder": encoder_sha256(model / "encoder")})
        assert "encoder.json is invalid" in models.refusal(model)


def test_verify_names_the_damage_of_heads_and_encoder(model: Path, models: Any) -> None:
    for path in (model / "report.html", model / "encoder" / "encoder.onnx"):
        path.write_bytes(b"x")
    problems = models.verify(model)
    assert len(problems) == 2
    assert "report.html" in problems[0]
    assert "encoder/encoder.onnx" in problems[1]


def test_models_with_and_without_an_encoder_replace_each_other(model: Path, save: Any, models: Any) -> None:
    models.save(model, models.make_facts(), models.files_of(models.plain_head()))
    assert models.load(model).own_encoder is None
    assert not (model / "encoder").exists()
    for _ in range(2):
        save(model)
        assert models.load(model).own_encoder is not None
    assert {path.name.partition(".old-")[0] for path in model.parent.iterdir()} == {"b-lines"}


def test_a_file_of_the_users_beside_the_encoder_keeps_the_model(model: Path, save: Any, models: Any) -> None:
    (model / "encoder" / "notes.txt").write_text("mine")
    before = models.snapshot(model)
    with pytest.raises(TaskModelError, match="more than a task model"):
        save(model)
    assert models.snapshot(model) == before


def test_an_encoder_that_is_not_sound_or_not_named_is_not_written(
    save: Any, facts: Any, encoder: Path, models: Any, tmp_path: Path
) -> None:
    target = tmp_path / "target" / "model"
    with pytest.raises(TaskModelError, match="its facts name no such encoder"):
        save(target, facts.model_copy(update={"own_encoder": None}))
    with pytest.raises(TaskModelError, match="the directory 'encoder' is missing"):
        save(target, own_encoder=None)
    with pytest.raises(TaskModelError, match="makes other features"):
        save(target, models.make_facts(own_encoder=encoder_sha256(encoder)))
    (encoder / "encoder.onnx").write_bytes(b"damaged")
    with pytest.raises(TaskModelError, match=r"encoder\.onnx does not have the content"):
        save(target)
    assert list((tmp_path / "target").iterdir()) == []
