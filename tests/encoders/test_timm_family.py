"""timm encoders and ONNX files become encoder directories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.config import PreprocessSpec, user_directory
from lusfx.contracts import EncoderRequest
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.errors import EncoderError, UsageError

timm = pytest.importorskip("timm", reason="timm is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from lusfx.encoders.conversion import make_directory, make_directory_from_onnx  # noqa: E402
from lusfx.encoders.timm_family import open_timm  # noqa: E402
from lusfx.encoders.torch_runtime import load_torch  # noqa: E402

pytestmark = pytest.mark.slow

NAME = "timm/mobilenetv3_small_050"


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small network, with its classifier, as a hub would have them."""
    import torch
    from safetensors.torch import save_file

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=10)
    file = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(network.state_dict(), file)
    return file


def images(size: int = 224) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, size, size), dtype=np.uint8)


def test_a_timm_encoder_with_weights_from_a_file(weights_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = open_timm(EncoderRequest(NAME, weights=weights_file, device="cpu"))
    assert isinstance(encoder, DirectoryEncoder)
    embeddings = encoder.encode(images())
    (directory,) = (user_directory() / "encoders").glob("timm-mobilenetv3_small_050@*")
    assert np.abs(embeddings - load_torch(directory, encoder.card, "cpu")(images())).max() < 1e-4
    monkeypatch.setattr("lusfx.encoders.timm_family.make_directory", lambda *a, **k: pytest.fail("converted twice"))
    again = open_timm(EncoderRequest(NAME, weights=weights_file, device="cpu"))
    np.testing.assert_array_equal(again.encode(images()), embeddings)


@pytest.mark.parametrize("change", ["missing", "left-over"])
def test_weights_that_do_not_fit_are_refused(weights_file: Path, tmp_path: Path, change: str) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(weights_file)
    if change == "missing":
        del weights["conv_stem.weight"]
    else:
        weights["extra.weight"] = np.zeros(3, np.float32)
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(EncoderError, match=r"1 keys missing|1 left over"):
        open_timm(EncoderRequest(NAME, weights=tmp_path / "w.safetensors"))


def test_a_pickle_is_no_weights_file(tmp_path: Path) -> None:
    import pickle

    (tmp_path / "w.safetensors").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(EncoderError, match="no safetensors file"):
        open_timm(EncoderRequest(NAME, weights=tmp_path / "w.safetensors"))


def test_an_unknown_model_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="timm knows no model 'nonsense'"):
        open_timm(EncoderRequest("timm/nonsense"))


def test_without_a_network_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: Any, **options: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(EncoderError, match="--weights"):
        open_timm(EncoderRequest(NAME))


def test_a_hub_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hub is stood in for by timm's own creation of the network, without the download."""
    create = timm.create_model
    monkeypatch.setenv("LUSFX_HOME", str(tmp_path))
    monkeypatch.setattr(
        timm, "create_model", lambda name, pretrained, **options: create(name, pretrained=False, **options)
    )
    encoder = open_timm(EncoderRequest("timm/mobilenetv3_small_050", device="cpu"))
    size = encoder.preprocess.size
    assert encoder.encode(images(size)).shape == (3, encoder.identity.dim)


def test_a_mirrors_plugin_names_the_weights(
    weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lusfx.engine.extraction.opening import open_encoder
    from lusfx.plugins import build_registry

    asked = []
    registry = build_registry([])
    monkeypatch.setattr(
        type(registry), "resolve_weights", lambda self, name: asked.append(name) or tmp_path / "missing.safetensors"
    )
    with pytest.raises(EncoderError, match="no safetensors file"):
        open_encoder(EncoderRequest(NAME), registry)
    assert asked == [NAME]


def tiny_graph(path: Path, *, external: bool = False) -> None:
    """uint8 (n, 16, 16) -> mean of each column of grey / 255: float32 (n, 16)."""
    from onnx import TensorProto, helper

    scale = helper.make_tensor("scale", TensorProto.FLOAT, [1], [255.0])
    if external:
        scale.ClearField("float_data")
        scale.data_location = TensorProto.EXTERNAL
        scale.external_data.add(key="location", value="../secret.bin")
    nodes = [
        helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["f", "scale"], ["g"]),
        helper.make_node("ReduceMean", ["g"], ["embeddings"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 16, 16])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", 16])],
        [scale],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def from_tiny(tmp_path: Path, **options: Any) -> DirectoryEncoder:
    make_directory_from_onnx(
        tmp_path / "encoder",
        tmp_path / "tiny.onnx",
        name="tiny",
        dim=options.get("dim", 16),
        channels=1,
        mean=(0.0,),
        std=(1.0,),
        preprocess=PreprocessSpec(size=16),
        licence="Apache-2.0",
        training_data="none",
        source="this test",
        model_card="# tiny",
    )
    return DirectoryEncoder(tmp_path / "encoder", "cpu")


def test_an_onnx_file_becomes_an_encoder(tmp_path: Path) -> None:
    tiny_graph(tmp_path / "tiny.onnx")
    x = images(16)
    np.testing.assert_allclose(from_tiny(tmp_path).encode(x), x.mean(axis=1) / 255, rtol=1e-5)


def test_an_onnx_file_that_gives_something_else_is_refused(tmp_path: Path) -> None:
    tiny_graph(tmp_path / "tiny.onnx")
    with pytest.raises(EncoderError, match=r"expected float32 \(1, 7\)"):
        from_tiny(tmp_path, dim=7)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]


def test_an_onnx_file_reads_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(np.float32(1).tobytes())
    tiny_graph(tmp_path / "tiny.onnx", external=True)
    with pytest.raises(EncoderError, match="cannot be loaded"):
        from_tiny(tmp_path)


def test_text_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_text("hello")
    with pytest.raises(EncoderError, match="cannot be loaded"):
        from_tiny(tmp_path)


def test_two_conversions_at_once_end_in_one_directory(tmp_path: Path) -> None:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=0)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    facts: dict[str, Any] = {
        "name": "x", "architecture": "timm/mobilenetv3_small_050", "weights": weights, "mean": (0.5,) * 3, "std": (0.5,) * 3,
        "preprocess": PreprocessSpec(size=32), "licence": "Apache-2.0", "training_data": "none", "source": "this test",
        "model_card": "# x",
    }  # fmt: skip
    cards = [make_directory(tmp_path / "encoder", **facts) for _ in range(2)]
    assert cards[0].identity == cards[1].identity
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]
