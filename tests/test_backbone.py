"""A timm network up to a layer: timm's names, the mean of the map, and nothing behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
timm = pytest.importorskip("timm", reason="timm is not installed")

from safetensors.torch import save_file  # noqa: E402 - after the skip

from lusfx.backbone import LAST_LAYER, make_backbone, own_size, read_weights, require_architecture  # noqa: E402
from lusfx.errors import EncoderError, UsageError  # noqa: E402
from lusfx.networks.threads import cpu_threads  # noqa: E402

NAME, LAYER = "test_efficientnet", "blocks.3"
NOT_A_NUMBER = object()
"""In place of a tensor: one of its shape without a number in it."""


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On networks as small as these, several wait for each other."""
    with cpu_threads(1):
        yield


@pytest.fixture(scope="module")
def whole() -> Any:
    """The network as timm makes it, with statistics of batch normalisation that are not the neutral ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(NAME, pretrained=False, num_classes=0)
        network.train()
        with torch.no_grad():
            network(torch.randn(8, 3, 64, 64))
    return network.eval()


@pytest.fixture(scope="module")
def cut(whole: Any) -> Any:
    """The same weights, up to the layer."""
    network = make_backbone(NAME, LAYER)
    network.load_state_dict({key: whole.state_dict()[key] for key in network.state_dict()})
    return network.eval()


@pytest.fixture
def frames() -> Any:
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_an_embedding_is_the_mean_of_the_layers_map(whole: Any, cut: Any, frames: Any) -> None:
    maps: list[Any] = []
    handle = whole.get_submodule(LAYER).register_forward_hook(lambda module, given, result: maps.append(result))
    with torch.inference_mode():
        whole(frames)
        embeddings = cut(frames)
    handle.remove()
    assert embeddings.ndim == 2
    assert maps[0].shape[2:] != (1, 1)
    by_hand = np.array([[channel.sum() / channel.size for channel in one] for one in maps[0].numpy()])
    np.testing.assert_allclose(embeddings.numpy(), by_hand, atol=1e-6)


def test_it_is_the_same_layer_while_it_is_trained(whole: Any, cut: Any, frames: Any) -> None:
    """There are two graphs, one for training; both end at the layer, and gradients reach the first weight."""
    cut.train()
    embeddings = cut(frames)
    embeddings.sum().backward()
    cut.eval()
    with torch.inference_mode():
        assert embeddings.shape == cut(frames).shape
    assert bool(cut.state_dict(keep_vars=True)["conv_stem.weight"].grad.abs().sum() > 0)
    cut.load_state_dict({key: whole.state_dict()[key] for key in cut.state_dict()})  # training moved the statistics


def test_names_are_timms_and_no_weight_lies_behind_the_layer(whole: Any, cut: Any) -> None:
    names = cut.state_dict().keys()
    assert names < whole.state_dict().keys()
    assert any(name.startswith(f"{LAYER}.") for name in names)
    assert not [name for name in names if name.startswith(("blocks.4", "conv_head", "bn2"))]
    assert {name for name in whole.state_dict() if name.startswith(("conv_stem", "bn1", "blocks.0", LAYER))} <= names


def test_the_last_layer_is_the_whole_network(whole: Any, frames: Any) -> None:
    network = make_backbone(NAME, LAST_LAYER).eval()
    assert network.state_dict().keys() == whole.state_dict().keys()
    network.load_state_dict(whole.state_dict())
    with torch.inference_mode():
        assert torch.equal(network(frames), whole(frames))


def test_an_unknown_architecture_or_layer_is_told() -> None:
    with pytest.raises(EncoderError, match="timm knows no model 'no_such_net'"):
        make_backbone("no_such_net")
    with pytest.raises(UsageError, match="timm knows no model 'no_such_net'"):
        require_architecture("no_such_net")
    require_architecture(NAME)
    for layer in ("blocks.99", "no-such", ""):
        with pytest.raises(EncoderError, match=f"timm/{NAME} has no layer '{layer}' that can be taken"):
            make_backbone(NAME, layer)
    with pytest.raises(EncoderError, match=f"the layer 'global_pool' of timm/{NAME} gives no feature map"):
        make_backbone(NAME, "global_pool")


def test_weights_are_read_without_the_classifier(whole: Any, tmp_path: Path) -> None:
    expected = whole.state_dict()
    save_file(expected | {"classifier.weight": torch.zeros(2, 3), "fc.bias": torch.zeros(2)}, tmp_path / "w")
    read = read_weights(tmp_path / "w", NAME, expected)
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv_stem.weight": None}, r"1 keys missing \(conv_stem.weight\), 0 left over"),
        ({"extra.weight": torch.zeros(2)}, r"0 keys missing \(\), 1 left over \(extra.weight\)"),
        ({"bn1.bias": torch.zeros(5)}, "bn1.bias has another shape"),
        ({"bn1.bias": NOT_A_NUMBER}, "bn1.bias has a value that is not finite"),
    ],
)
def test_weights_that_do_not_fit_are_named(whole: Any, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    expected = whole.state_dict()
    tensors = {key: value for key, value in (expected | change).items() if value is not None}
    tensors = {key: expected[key] * torch.nan if value is NOT_A_NUMBER else value for key, value in tensors.items()}
    save_file(tensors, tmp_path / "w")
    with pytest.raises(EncoderError, match=message) as refused:
        read_weights(tmp_path / "w", NAME, expected)
    assert str(tmp_path) not in str(refused.value)


def test_weights_of_the_whole_network_do_not_fit_a_part(whole: Any, cut: Any, tmp_path: Path) -> None:
    save_file(whole.state_dict(), tmp_path / "w")
    with pytest.raises(EncoderError, match=r"0 keys missing \(\), \d+ left over \(blocks.4"):
        read_weights(tmp_path / "w", NAME, cut.state_dict())


@pytest.mark.parametrize("content", [None, b"", b"\x00" * 64, b"no weights"])
def test_what_is_no_safetensors_file_is_told(whole: Any, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "w").write_bytes(content)
    with pytest.raises(EncoderError, match=r"the weights file is no safetensors file \(\w+\)"):
        read_weights(tmp_path / "w", NAME, whole.state_dict())


TOKENS, OWN_PX = "test_vit", 160


@pytest.fixture(scope="module")
def transformer() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return timm.create_model(TOKENS, pretrained=False, num_classes=0).eval()


@pytest.mark.parametrize("layer", ["blocks.2", "norm"])
@pytest.mark.parametrize("pooling", ["tokens-mean", "class-token"])
def test_tokens_of_a_layer_are_pooled(transformer: Any, layer: str, pooling: str) -> None:
    network = make_backbone(TOKENS, layer, pooling).eval()  # type: ignore[arg-type]
    own = transformer.state_dict()
    assert network.state_dict().keys() <= own.keys()
    network.load_state_dict({key: own[key] for key in network.state_dict()})
    frames = torch.rand(2, 3, OWN_PX, OWN_PX, generator=torch.Generator().manual_seed(1))
    tokens: list[Any] = []
    handle = transformer.get_submodule(layer).register_forward_hook(lambda module, given, found: tokens.append(found))
    with torch.inference_mode():
        transformer(frames)
        embeddings = network(frames).numpy()
    handle.remove()
    by_hand = tokens[0].numpy()
    by_hand = by_hand[:, 0] if pooling == "class-token" else by_hand[:, 1:].mean(axis=1)
    np.testing.assert_allclose(embeddings, by_hand, atol=1e-5)
    assert np.std(embeddings, axis=0).max() > 1e-4


def test_the_class_token_of_the_norm_is_what_timm_ends_with(transformer: Any) -> None:
    network = make_backbone(TOKENS, "norm", "class-token").eval()
    network.load_state_dict(transformer.state_dict())
    frames = torch.rand(2, 3, OWN_PX, OWN_PX, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        torch.testing.assert_close(network(frames), transformer(frames), atol=1e-5, rtol=0)


def test_another_size_of_a_transformer(transformer: Any) -> None:
    assert own_size(transformer) == OWN_PX
    network = make_backbone(TOKENS, "norm", "tokens-mean", 64).eval()
    assert network.state_dict()["pos_embed"].shape[1] == 17
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 64)


def test_a_pooling_that_a_network_has_not_is_told(whole: Any) -> None:
    assert own_size(whole) is None
    for arguments, message in {
        (NAME, LAST_LAYER, "tokens-mean"): "has a pooling of its own. Name a layer for 'tokens-mean'",
        (NAME, LAYER, "tokens-mean"): "gives no tokens",
        (TOKENS, "norm", "mean"): "no layer 'norm' that can be taken|gives no feature map",
        ("test_vit3", "norm", "class-token"): "has no class token. Take tokens-mean",
        (NAME, LAST_LAYER, "mean", 64): "takes no images of 64 px",
    }.items():
        with pytest.raises(EncoderError, match=message):
            make_backbone(*arguments)  # type: ignore[arg-type]
