"""A checkpoint's keys become those of timm's network, to the last one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
timm = pytest.importorskip("timm", reason="timm is not installed")

from lusfx.backbone import make_backbone  # noqa: E402 - after the skip
from lusfx.contracts import EncoderRecipe  # noqa: E402
from lusfx.encoders.fit import fit  # noqa: E402
from lusfx.errors import EncoderError  # noqa: E402
from lusfx.networks.threads import cpu_threads  # noqa: E402

OWN_PX = 160


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On networks as small as these, several wait for each other."""
    with cpu_threads(1):
        yield


def recipe(**changes: Any) -> EncoderRecipe:
    checkpoint = {"file": "f", "repository": "r", **changes.pop("checkpoint", {})}
    content = {
        "name": "small", "summary": "s", "architecture": "test_vit", "layer": "norm", "pooling": "tokens-mean", "size": OWN_PX,
        "mean": (0.5,) * 3, "std": (0.25,) * 3, "licence": {"name": "MIT", "read_at": "r"}, "training_data": "t",
        "citation": "c", "checkpoint": checkpoint,
    }  # fmt: skip
    return EncoderRecipe.model_validate_json(json.dumps(content | changes))  # strict mode takes arrays from JSON alone


@pytest.fixture(scope="module")
def whole() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model("test_vit", pretrained=False, num_classes=0).eval()
        with torch.no_grad():
            network.pos_embed.normal_()
    return network


def test_keys_are_dropped_renamed_and_squeezed(whole: Any) -> None:
    state = whole.state_dict()
    file = {f"net.{key}": value for key, value in state.items()}
    file["net.norm.bias"] = file["net.norm.bias"][None, :, None].double()
    file |= {"decoder_pred.weight": torch.zeros(2), "decoder_pred.bias": torch.zeros(2), "mask_token": torch.zeros(1)}
    rules = [
        {"from": r"net\.(norm\.bias)", "to": r"\1", "squeeze": True},
        {"from": r"net\.(.*)", "to": r"\1"},
    ]
    fitted = fit(file, recipe(checkpoint={"rename": rules, "drop": ("decoder_*", "mask_token", "not_there")}))
    assert fitted.dropped == ("decoder_* (2 tensors)", "mask_token (1 tensor)")
    assert (fitted.pooling, fitted.input_size) == ("tokens-mean", None)
    assert fitted.weights.keys() == state.keys()
    for key, value in state.items():
        np.testing.assert_array_equal(fitted.weights[key], value.numpy())
        assert fitted.weights[key].dtype == np.float32


def test_one_tensor_becomes_several(whole: Any) -> None:
    state = dict(whole.state_dict())
    shared = torch.full_like(state.pop("blocks.0.norm1.bias"), 2.5)
    del state["blocks.1.norm1.bias"]
    rule = {"from": "shared", "to": ("blocks.0.norm1.bias", "blocks.1.norm1.bias")}
    fitted = fit(state | {"shared": shared}, recipe(checkpoint={"rename": [rule]}))
    assert all((fitted.weights[name] == 2.5).all() for name in rule["to"])


def test_what_lies_behind_the_layer_is_left_out_and_said(whole: Any) -> None:
    fitted = fit(whole.state_dict(), recipe(layer="blocks.2"))
    assert fitted.weights.keys() == make_backbone("test_vit", "blocks.2", "tokens-mean").state_dict().keys()
    assert not [key for key in fitted.weights if key.startswith(("blocks.3", "norm."))]
    n = len(whole.state_dict()) - len(fitted.weights)
    assert fitted.dropped == (f"behind the layer ({n} tensors)",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm.bias": None}, r"of timm/test_vit 1 key missing \(norm.bias\), 0 left over"),
        ({"extra": torch.zeros(1)}, r"0 keys missing \(\), 1 left over \(extra\)"),
        ({"ex\x1b[2Jtra": torch.zeros(1)}, r"left over \(ex\\x1b\[2Jtra\)"),
        ({"norm.bias": torch.zeros(3)}, r"norm.bias has the shape \(3,\), and not \(64,\)"),
        ({"norm.bias": torch.zeros(64, dtype=torch.int64)}, "norm.bias has another type of numbers"),
        ({"norm.bias": torch.full((64,), torch.nan)}, "norm.bias has a value that is not finite"),
        ({"alias": torch.zeros(64)}, "gives two tensors the name norm.bias"),
    ],
)
def test_what_does_not_fit_is_named(whole: Any, change: dict[str, Any], message: str) -> None:
    file = {key: value for key, value in (dict(whole.state_dict()) | change).items() if value is not None}
    with pytest.raises(EncoderError, match=message):
        fit(file, recipe(checkpoint={"rename": [{"from": "alias", "to": "norm.bias"}]}))


def test_another_size_has_the_positions_that_timm_interpolates(whole: Any) -> None:
    fitted = fit(whole.state_dict(), recipe(size=96))
    assert fitted.input_size == 96
    by_timm = timm.layers.resample_abs_pos_embed(
        whole.pos_embed.detach(), new_size=[6, 6], old_size=[10, 10], num_prefix_tokens=1
    )
    np.testing.assert_array_equal(fitted.weights["pos_embed"], by_timm.numpy())
    network = make_backbone("test_vit", "norm", "tokens-mean", 96).eval()
    network.load_state_dict({key: torch.from_numpy(value) for key, value in fitted.weights.items()})
    assert network(torch.zeros(2, 3, 96, 96)).shape == (2, 64)


def test_a_size_that_the_patches_do_not_divide_is_refused(whole: Any) -> None:
    with pytest.raises(EncoderError, match="takes no images of 100 px"):
        fit(whole.state_dict(), recipe(size=100))


def test_a_convolutional_network_takes_any_size_as_it_is() -> None:
    network = timm.create_model("test_efficientnet", pretrained=False, num_classes=0)
    fitted = fit(
        network.state_dict(), recipe(architecture="test_efficientnet", layer="blocks.2", pooling="map-mean", size=48)
    )
    assert (fitted.pooling, fitted.input_size) == ("mean", None)
