"""An encoder that ends at a layer: both runtimes stop there, nothing behind it is kept, and it can be trained further."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("timm", reason="timm is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from safetensors.numpy import load_file  # noqa: E402 - after the skip

from lusfx.backbone import make_backbone  # noqa: E402
from lusfx.config import FeatureSpec, PreprocessSpec  # noqa: E402
from lusfx.encoders.card import WEIGHTS, read_card  # noqa: E402
from lusfx.encoders.conversion import make_directory  # noqa: E402
from lusfx.encoders.directory import DirectoryEncoder  # noqa: E402
from lusfx.encoders.torch_runtime import load_torch  # noqa: E402
from lusfx.errors import EncoderError  # noqa: E402
from lusfx.networks.threads import cpu_threads  # noqa: E402

pytestmark = pytest.mark.slow

ARCHITECTURE, LAYER, SIZE = "test_efficientnet", "blocks.2", 48
FACTS: dict[str, Any] = {
    "name": "cut", "architecture": f"timm/{ARCHITECTURE}", "mean": (0.5,) * 3, "std": (0.25,) * 3,
    "preprocess": PreprocessSpec(size=SIZE), "licence": "Apache-2.0", "training_data": "none", "source": "this test",
    "model_card": "# cut",
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On a network as small as this, several wait for each other."""
    with cpu_threads(1):
        yield


def weights_of(layer: str) -> dict[str, np.ndarray]:
    """Random weights of the network up to a layer, the same for the same layer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = make_backbone(ARCHITECTURE, layer)
    return {name: value.numpy() for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("layers") / "cut"
    make_directory(place, weights=weights_of(LAYER), layer=LAYER, **FACTS)
    return place


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE), dtype=np.uint8)


def test_onnx_runtime_and_torch_agree(directory: Path, images: np.ndarray) -> None:
    encoder = DirectoryEncoder(directory, "cpu")
    embeddings = encoder.encode(images)
    reference = load_torch(directory, encoder.card, "cpu")(images)
    assert embeddings.shape == (5, encoder.identity.dim)
    np.testing.assert_allclose(embeddings, reference, atol=1e-4)
    assert np.std(embeddings, axis=0).max() > 1e-3


def test_the_encoder_ends_at_the_layer(directory: Path, images: np.ndarray) -> None:
    """Its embedding is the mean of the map that timm's own network has there, and no later weight is in the directory."""
    import timm

    whole = timm.create_model(ARCHITECTURE, pretrained=False, num_classes=0).eval()
    whole.load_state_dict({name: torch.from_numpy(value) for name, value in weights_of(LAYER).items()}, strict=False)
    maps: list[Any] = []
    whole.get_submodule(LAYER).register_forward_hook(lambda module, given, result: maps.append(result))
    frames = (torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1) / 255 - 0.5) / 0.25
    with torch.inference_mode():
        whole(frames)
    by_hand = maps[0].numpy().mean(axis=(2, 3))
    np.testing.assert_allclose(DirectoryEncoder(directory, "cpu").encode(images), by_hand, atol=1e-4)

    names = load_file(directory / WEIGHTS).keys()
    assert names == weights_of(LAYER).keys()
    assert not [name for name in names if name.startswith(("blocks.3", "conv_head", "bn2"))]
    graph = onnx.load(directory / "encoder.onnx", load_external_data=False)
    kept = {one.name for one in graph.graph.initializer if one.data_location == onnx.TensorProto.EXTERNAL}
    assert kept == {name for name in names if not name.endswith("num_batches_tracked")}


def test_the_layer_is_part_of_the_identity(directory: Path, tmp_path: Path) -> None:
    card = read_card(directory)
    assert (card.identity.layer, card.identity.pooling) == (LAYER, "mean")
    other = make_directory(tmp_path / "other", weights=weights_of("blocks.1"), layer="blocks.1", **FACTS)
    whole = make_directory(tmp_path / "whole", weights=weights_of("global-pool"), **FACTS)
    assert whole.identity.layer == "global-pool"
    cards = (card, other, whole)
    assert len({FeatureSpec(encoder=one.identity, preprocess=one.preprocess).fingerprint for one in cards}) == 3


def test_weights_of_more_or_less_than_the_layers_do_not_fit(tmp_path: Path) -> None:
    for layer in ("global-pool", "blocks.1"):
        with pytest.raises(EncoderError, match="the weights do not fit timm/test_efficientnet"):
            make_directory(tmp_path / "none", weights=weights_of(layer), layer=LAYER, **FACTS)
    with pytest.raises(EncoderError, match="has no layer 'no-such'"):
        make_directory(tmp_path / "none", weights=weights_of(LAYER), layer="no-such", **FACTS)
    assert not (tmp_path / "none").exists()
