"""A checkpoint becomes an encoder by a recipe; each error says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import lusfx
from lusfx.cli import group
from lusfx.config import FeatureSpec
from lusfx.contracts import EncoderRecipe, parse_recipe
from lusfx.encoders.card import read_card
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.errors import EncoderError, UsageError
from lusfx.hookspecs import hookimpl
from lusfx.plugins import Registry, build_registry

torch = pytest.importorskip("torch", reason="torch is not installed")
timm = pytest.importorskip("timm", reason="timm is not installed")

from lusfx.networks.threads import cpu_threads  # noqa: E402 - after the skip

RECIPE = """
name = "small-vit"
summary = "a small transformer"
architecture = "test_vit"
layer = "norm"
pooling = "tokens-mean"
size = 64
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
training_data = "ten clips"
training_sets = ["POCUS"]
citation = "Somebody 2026"
remarks = "Frames were squashed by its authors."

[licence]
name = "CC-BY-NC-4.0"
read_at = "README.md"
may_be_passed_on = false

[checkpoint]
file = "small.pth"
repository = "somebody/small"
under = "model"
drop = ["decoder_*", "mask_token"]
"""


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On networks as small as these, several wait for each other."""
    with cpu_threads(1):
        yield


@pytest.fixture(scope="module")
def network() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = timm.create_model("test_vit", pretrained=False, num_classes=0).eval()
        with torch.no_grad():
            made.pos_embed.normal_()
    return made


@pytest.fixture(scope="module")
def checkpoint(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As training scripts save it: with a decoder, and beside other things."""
    file = tmp_path_factory.mktemp("checkpoint") / "small.pth"
    decoder = {"decoder_pred.weight": torch.zeros(3, 3), "mask_token": torch.zeros(1, 1, 3)}
    torch.save({"model": {**network.state_dict(), **decoder}, "epoch": 7}, file)
    return file


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE, encoding="utf-8")
    return file


def registry_with(monkeypatch: pytest.MonkeyPatch, *recipes: object) -> Registry:
    import sys
    import types
    from importlib.metadata import EntryPoint

    module = types.ModuleType("fake_recipes")
    module.__dict__.update({"LUSFX_API_VERSION": 2, "lusfx_register_encoder_recipes": hookimpl(lambda: list(recipes))})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return build_registry([EntryPoint("recipes", module.__name__, "lusfx")])


def test_a_plugin_brings_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = parse_recipe(RECIPE)
    registry = registry_with(monkeypatch, recipe)
    assert registry.failures == []
    assert registry.recipe("small-vit") is recipe
    assert registry.plugins[-1].provides == ("encoder recipe: small-vit",)
    with pytest.raises(
        UsageError, match=r"unknown encoder recipe 'small-vti'; known: small-vit\. Did you mean small-vit"
    ):
        registry.recipe("small-vti")
    for wrong, message in (
        ((recipe, recipe), "one name twice"),
        ((3,), "list of EncoderRecipe instances; in it is a int"),
    ):
        (failure,) = registry_with(monkeypatch, *wrong).failures
        assert message in (failure.error or "")


def test_a_missing_file_says_which_one_to_get_from_whom(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for recipe in (recipe_file, str(recipe_file)):
        with pytest.raises(UsageError, match=r"The recipe small-vit is for small\.pth\..* somebody/small"):
            lusfx.import_encoder(recipe, tmp_path / "none.pth", tmp_path / "out")
    registry = registry_with(monkeypatch, parse_recipe(RECIPE))
    with pytest.raises(UsageError, match="lusfx downloads nothing"):
        lusfx.import_encoder("small-vit", tmp_path, tmp_path / "out", registry=registry)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "global-pool", "pooling": "class-token"}, "'own' goes with the layer global-pool"),
        ({"pooling": "own"}, "'own' goes with the layer global-pool"),
        ({"size": 8}, "size: frames have from 16 to 1024"),
    ],
)
def test_options_that_make_no_sense(
    recipe_file: Path, checkpoint: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        lusfx.import_encoder(recipe_file, checkpoint, tmp_path / "out", **options)


def test_places_and_files_that_cannot_be_used(recipe_file: Path, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is something already"):
        lusfx.import_encoder(recipe_file, checkpoint, tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "encoder.json").touch()
    with pytest.raises(UsageError, match="would lie in a task model or an encoder"):
        lusfx.import_encoder(recipe_file, checkpoint, tmp_path / "other" / "out")
    with pytest.raises(UsageError, match="the recipe cannot be read: No such file"):
        lusfx.import_encoder(tmp_path / "none.toml", checkpoint, tmp_path / "out")
    recipe_file.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="no text in UTF-8"):
        lusfx.import_encoder(recipe_file, checkpoint, tmp_path / "out")


def test_a_file_of_another_digest_than_the_known_ones_is_refused(
    recipe_file: Path, checkpoint: Path, tmp_path: Path
) -> None:
    recipe_file.write_text(f'{RECIPE}sha256 = ["{"ab" * 32}"]\n', encoding="utf-8")
    with pytest.raises(EncoderError, match="is not the one that the recipe small-vit was written for"):
        lusfx.import_encoder(recipe_file, checkpoint, tmp_path / "out")


@pytest.fixture(scope="module")
def imported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Imported by the command."""
    folder = tmp_path_factory.mktemp("imported")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    arguments = ["encoders", "import", str(folder / "recipe.toml"), str(checkpoint), "--out", str(folder / "vit")]
    result = CliRunner().invoke(group, arguments)
    assert result.exit_code == 0, result.output
    assert "decoder_* (1 tensor); mask_token (1 tensor)" in result.stdout
    assert "licence CC-BY-NC-4.0" in result.stdout
    assert "does not let the encoder be passed on" in result.stderr
    return folder / "vit"


@pytest.mark.slow
def test_an_imported_encoder_computes_what_torch_does(imported: Path, network: Any) -> None:
    """By timm's own network, its positions interpolated, on frames that are normalised by hand."""
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    found = DirectoryEncoder(imported, "cpu").encode(images)
    other = timm.create_model("test_vit", pretrained=False, num_classes=0).eval()
    other.load_state_dict(network.state_dict())
    other.set_input_size(img_size=(64, 64))
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    frames = (torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1) / 255 - mean) / std
    with torch.inference_mode():
        expected = other.forward_features(frames)[:, 1:].mean(dim=1).numpy()
    assert np.abs(found - expected).max() < 1e-4
    assert np.std(expected, axis=0).max() > 1e-3
    torch_too = DirectoryEncoder(imported, "cpu", runtime="torch").encode(images)
    assert np.abs(torch_too - expected).max() < 1e-4


@pytest.mark.slow
def test_the_card_says_where_it_is_from(imported: Path) -> None:
    card = read_card(imported)
    assert card.training_sets is not None
    assert card.origin is not None
    assert (card.training_sets.names, card.training_sets.complete) == (("POCUS",), False)
    assert (card.licence, card.origin.licence_read_at) == ("CC-BY-NC-4.0", "README.md")
    assert (card.origin.recipe, card.origin.citation, card.origin.may_be_passed_on) == (
        "small-vit",
        "Somebody 2026",
        False,
    )
    assert card.origin.checkpoint_sha256 in card.source
    assert (card.identity.layer, card.identity.pooling, card.identity.input_size) == ("norm", "tokens-mean", 64)
    page = (imported / "MODEL_CARD.md").read_text(encoding="utf-8")
    for words in ("POCUS (and others: the list is not complete)", "may be passed on: no", "squashed", "Somebody 2026"):
        assert words in page
    stated = json.loads((imported / "encoder.json").read_text())
    assert stated["identity"]["input_size"] == 64


@pytest.mark.slow
def test_layer_pooling_and_size_are_part_of_the_fingerprint(
    imported: Path, recipe_file: Path, checkpoint: Path, tmp_path: Path
) -> None:
    options: list[dict[str, Any]] = [{"layer": "block-3"}, {"pooling": "class-token", "size": 160}]
    results = [
        lusfx.import_encoder(recipe_file, checkpoint, tmp_path / str(n), **each) for n, each in enumerate(options)
    ]
    assert [result.card.name for result in results] == ["small-vit-blocks.2", "small-vit-class-token-160px"]
    assert {result.origin.recipe for result in results} == {"small-vit"}
    assert [result.card.identity.input_size for result in results] == [64, None]
    card = read_card(imported)
    first = FeatureSpec(encoder=card.identity, preprocess=card.preprocess).fingerprint
    assert len({first, *(result.fingerprint for result in results)}) == 3
    assert "behind the layer" in results[0].summary()
    assert results[0].as_dict()["fingerprint"] == results[0].fingerprint


@pytest.mark.slow
def test_an_imported_encoder_of_tokens_is_not_trained_as_another_network(imported: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be trained: it takes tokens of a transformer"):
        lusfx.pretrain(tmp_path, tmp_path / "out", encoder=imported)


def test_recipes_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = registry_with(monkeypatch, parse_recipe(RECIPE))
    monkeypatch.setattr("lusfx.plugins.load_registry", lambda: registry)
    run = CliRunner().invoke
    listed = run(group, ["encoders", "recipes"]).output
    for words in ("small-vit", "CC-BY-NC-4.0", "small.pth", "somebody/small"):
        assert words in listed
    (entry,) = json.loads(run(group, ["encoders", "recipes", "--json"]).output)
    assert entry.pop("plugin") == "unknown distribution"
    assert EncoderRecipe.model_validate_json(json.dumps(entry)) == parse_recipe(RECIPE)
    assert "1 recipe to import others" in run(group, ["encoders"]).output
    empty = build_registry([])
    monkeypatch.setattr("lusfx.plugins.load_registry", lambda: empty)
    assert "no plugin brings a recipe" in run(group, ["encoders", "recipes"]).output
    assert "recipe" not in run(group, ["encoders"]).output
