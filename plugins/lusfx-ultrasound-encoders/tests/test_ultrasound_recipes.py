"""Each recipe takes a file of its authors' names and shapes, and the encoder computes what torch does."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
timm = pytest.importorskip("timm", reason="timm is not installed")
torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")

from lusfx_ultrasound_encoders import RECIPES, lusfx_register_encoder_recipes  # noqa: E402 - after the skip

import lusfx  # noqa: E402
from lusfx.contracts import EncoderRecipe  # noqa: E402
from lusfx.encoders.directory import DirectoryEncoder  # noqa: E402
from lusfx.encoders.fit import fit  # noqa: E402
from lusfx.errors import UsageError  # noqa: E402
from lusfx.plugins import Registry, build_registry  # noqa: E402

Reference = Callable[[Any], Any]
MEAN, STD = (torch.tensor(value).reshape(1, 3, 1, 1) for value in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return build_registry([EntryPoint("ultrasound-encoders", "lusfx_ultrasound_encoders", "lusfx")])


def randomised(network: Any) -> Any:
    """With weights of which none is so small that its part of the network does nothing."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.abs().max() < 1e-3:
                weight.normal_(0, 0.05, generator=generator)
    return network.eval()


def made(name: str, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return randomised(timm.create_model(name, pretrained=False, num_classes=0, **options))


def autoencoder(network: Any) -> dict[str, Any]:
    """The keys of a masked autoencoder: its encoder's are timm's; the decoder's follow."""
    decoder = {
        "mask_token": torch.zeros(1, 1, 8),
        "decoder_pos_embed": torch.zeros(1, 5, 8),
        "decoder_embed.weight": torch.zeros(8, 8),
        "decoder_blocks.0.norm1.weight": torch.zeros(8),
        "decoder_norm.bias": torch.zeros(8),
        "decoder_pred.weight": torch.zeros(8, 8),
    }
    return {**network.state_dict(), **decoder}


def patch_tokens(network: Any, layer: str) -> Reference:
    """The mean of a layer's patch tokens, by a hook on timm's network."""

    def mean(frames: Any) -> Any:
        found: list[Any] = []
        handle = network.get_submodule(layer).register_forward_hook(lambda module, given, tokens: found.append(tokens))
        network(frames)
        handle.remove()
        return found[0][:, 1:].mean(dim=1)

    return mean


def usf_mae() -> tuple[dict[str, Any], Reference]:
    network = made("vit_base_patch16_224")
    return autoencoder(network), patch_tokens(network, "norm")


def ultrafedfm() -> tuple[dict[str, Any], Reference]:
    network = made("vit_base_patch16_224")
    content = {"model": autoencoder(network), "epoch": 1, "args": argparse.Namespace(mask_ratio=0.75)}
    return content, patch_tokens(network, "blocks.11")


def usfm() -> tuple[dict[str, Any], Reference]:
    network = made("beit_base_patch16_224")
    state = dict(network.state_dict())
    tables = [key for key in state if key.endswith("relative_position_bias_table")]
    shared = torch.randn(state[tables[0]].shape, generator=torch.Generator().manual_seed(1))
    network.load_state_dict(state | dict.fromkeys(tables, shared))
    content = {key: value for key, value in state.items() if key not in tables and not key.startswith("fc_norm")}
    content |= {
        "rel_pos_bias.relative_position_bias_table": shared,
        "rel_pos_bias.relative_position_index": torch.zeros(197, 197, dtype=torch.int64),
        "mask_token": torch.zeros(1, 1, 768),
    }
    return content, patch_tokens(network, "blocks.11")


def echo_file(network: Any) -> dict[str, Any]:
    """As PanEcho's: the image encoder within the frame transformer within the model of all tasks."""
    rest = {
        "encoder.time_encoder.pe": torch.zeros(1, 16, 8),
        "encoder.transformer.layers.0.norm1.weight": torch.zeros(8),
        "EF_head.1.weight": torch.zeros(1, 8),
        "pericardial-effusion_head.1.bias": torch.zeros(1),
    }
    return {"weights": {f"encoder.encoder.model.{key}": value for key, value in network.state_dict().items()} | rest}


def torchvision_convnext(*blocks: tuple[int, int | None, int]) -> Any:
    """torchvision's network with so many channels in and out and so many layers, its last layer cut off as the authors do."""
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ConvNeXt([CNBlockConfig(*block) for block in blocks], num_classes=3)
        for module in network.modules():
            if isinstance(getattr(module, "layer_scale", None), torch.nn.Parameter):
                torch.nn.init.normal_(module.layer_scale)  # 1e-6 would hide the blocks
    network.classifier[-1] = torch.nn.Identity()
    return randomised(network)


def panecho() -> tuple[dict[str, Any], Reference]:
    network = torchvision_convnext((96, 192, 3), (192, 384, 3), (384, 768, 9), (768, None, 3))
    return echo_file(network), network


def dinov2() -> tuple[dict[str, Any], Reference]:
    network = made("vit_small_patch14_dinov2")
    content = {key: value.clone() for key, value in network.state_dict().items()}
    network.set_input_size(img_size=(224, 224))
    return content, network


def dinov3() -> tuple[dict[str, Any], Reference]:
    network = made("vit_small_patch16_dinov3")
    content = {key: value.clone() for key, value in network.state_dict().items()}
    network.set_input_size(img_size=(224, 224))
    return content, lambda frames: network.forward_features(frames)[:, 0]


AUTHORS = {
    "dinov2-small": dinov2,
    "dinov3-small": dinov3,
    "panecho": panecho,
    "ultrafedfm": ultrafedfm,
    "usf-mae": usf_mae,
    "usfm": usfm,
}


@pytest.mark.slow
@pytest.mark.timeout(900)  # networks of 86 million weights are exported
@pytest.mark.parametrize("name", RECIPES)
def test_an_imported_encoder_computes_what_the_authors_network_does(
    name: str, registry: Registry, tmp_path: Path
) -> None:
    """On grey frames whose three channels are normalised by ImageNet's mean and standard deviation, by hand."""
    content, reference = AUTHORS[name]()
    torch.save(content, tmp_path / "file.pth")
    card = lusfx.import_encoder(name, tmp_path / "file.pth", tmp_path / "encoder", registry=registry).card
    size = card.preprocess.size
    images = np.random.default_rng(0).integers(0, 256, (2, size, size), dtype=np.uint8)
    with torch.inference_mode():
        expected = reference((torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1) / 255 - MEAN) / STD).numpy()
    found = DirectoryEncoder(tmp_path / "encoder", "cpu").encode(images)
    assert np.abs(found - expected).max() < 1e-4 * max(1.0, float(np.abs(expected).max()))
    assert np.std(expected, axis=0).max() > 1e-3


@pytest.mark.slow
def test_usfm_at_another_size_has_the_tables_that_timm_interpolates(registry: Registry) -> None:
    content, _ = usfm()
    fitted = fit(content, registry.recipe("usfm").model_copy(update={"size": 112}))
    network = made("beit_base_patch16_224")
    table = "blocks.0.attn.relative_position_bias_table"
    network.load_state_dict({**network.state_dict(), table: content["rel_pos_bias.relative_position_bias_table"]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what timm's interpolation costs
        network.set_input_size(img_size=(112, 112))
    assert fitted.input_size == 112
    for block in range(12):
        found = fitted.weights[table.replace("0", str(block), 1)]
        np.testing.assert_array_equal(found, network.state_dict()[table].numpy())
    assert fitted.weights[table].shape == (13 * 13 + 3, 12)


def small(recipe: EncoderRecipe, architecture: str, **changes: Any) -> EncoderRecipe:
    return recipe.model_copy(update={"architecture": architecture, **changes})


@pytest.mark.parametrize(("name", "layer"), [("usf-mae", "norm"), ("ultrafedfm", "blocks.5")])
def test_an_autoencoders_keys_are_timms_without_the_decoder(registry: Registry, name: str, layer: str) -> None:
    network = made("test_vit")
    fitted = fit(autoencoder(network), small(registry.recipe(name), "test_vit", layer=layer, size=160))
    for key, value in fitted.weights.items():
        np.testing.assert_array_equal(value, network.state_dict()[key].numpy())
    assert "decoder_* (5 tensors)" in fitted.dropped


def test_torchvisions_names_become_timms(registry: Registry) -> None:
    """On timm's smallest ConvNeXt, whose layers compute as torchvision's but for the activation."""
    authors = torchvision_convnext((24, 32, 1), (32, 48, 2), (48, 64, 4), (64, None, 2))
    network = timm.create_model(
        "test_convnext", pretrained=False, num_classes=0, act_layer="gelu", norm_eps=1e-6
    ).eval()
    fitted = fit(echo_file(authors)["weights"], small(registry.recipe("panecho"), "test_convnext"))
    network.load_state_dict({key: torch.from_numpy(value) for key, value in fitted.weights.items()})
    frames = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = authors(frames)
        torch.testing.assert_close(network(frames), expected, atol=1e-5, rtol=1e-5)
    assert float(expected.std(dim=0).max()) > 1e-3


def test_every_recipe_says_where_to_ask_and_stands_in_the_readme(registry: Registry, tmp_path: Path) -> None:
    assert registry.failures == []
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert [recipe.name for recipe in lusfx_register_encoder_recipes()] == list(RECIPES) == registry.recipes.names()
    for name in RECIPES:
        recipe = registry.recipe(name)
        assert f"| `{name}` |" in readme
        assert timm.is_model(recipe.architecture)
        with pytest.raises(UsageError, match=f"The recipe {name} is for ") as told:
            lusfx.import_encoder(name, tmp_path / "none", tmp_path / "out", registry=registry)
        assert recipe.checkpoint.repository in str(told.value)


def test_what_usf_mae_has_seen_is_named(registry: Registry) -> None:
    recipe = registry.recipe("usf-mae")
    assert recipe.training_sets == ("COVID-BLUES", "POCUS")
    assert not recipe.training_sets_complete
