"""What an encoder computes in: OpenVINO agrees in float32, bfloat16 is opt-in and makes features of their own."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from lusfx.config import Precision
from lusfx.contracts import Device, Encoder, EncoderRequest, EncoderSpec, Runtime
from lusfx.encoders import BUNDLED, DEFAULT_ENCODER, IMAGENET_ENCODER
from lusfx.encoders.batch import CheckedCompute
from lusfx.encoders.card import weights_sha256
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.engine.extraction.opening import open_encoder
from lusfx.errors import EncoderError, EncoderMemoryError, MissingExtraError, UsageError
from lusfx.plugins import load_registry

PLACE = BUNDLED / DEFAULT_ENCODER
FINGERPRINTS = {
    DEFAULT_ENCODER: "f067c3e6a8ab56f7306d356585bcedda28c3c5de0839a6ef81d473d55a65b89d",
    IMAGENET_ENCODER: "5f44011a8cf8b413e8a62132f88e1265860f3a1f96c57e3e68944103427e2749",
}


@pytest.fixture
def openvino() -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("openvino", reason="openvino is not installed")


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (8, 96, 96), dtype=np.uint8)


@pytest.fixture(scope="module")
def reference(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return DirectoryEncoder(PLACE, "cpu").encode(images)


def in_bfloat16(runtime: Runtime = "auto") -> DirectoryEncoder:
    return DirectoryEncoder(PLACE, "cpu", 1, "bfloat16", runtime)


def moved(found: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Largest relative distance of a row from its reference."""
    return float((np.linalg.norm(found - reference, axis=1) / np.linalg.norm(reference, axis=1)).max())


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_the_fingerprints_of_the_bundled_encoders_never_change(name: str) -> None:
    """Caches of earlier versions are found by them."""
    assert DirectoryEncoder(BUNDLED / name, "cpu").feature_spec.fingerprint == FINGERPRINTS[name]


@pytest.mark.usefixtures("openvino")
def test_the_precision_is_in_the_fingerprint_and_the_runtime_is_not() -> None:
    encoders = [DirectoryEncoder(PLACE, "cpu", 1, "float32", "openvino"), in_bfloat16()]
    assert [encoder.feature_spec.fingerprint == FINGERPRINTS[DEFAULT_ENCODER] for encoder in encoders] == [True, False]
    assert encoders[0].runtime.startswith("openvino ")
    assert encoders[0].runtime.endswith(" cpu")
    assert encoders[1].runtime.endswith(" cpu bfloat16")


@pytest.mark.usefixtures("openvino")
def test_openvino_agrees_in_float32(images: NDArray[np.uint8], reference: NDArray[np.float32]) -> None:
    found = DirectoryEncoder(PLACE, "cpu", 1, "float32", "openvino").encode(images)
    assert found.dtype == np.float32
    assert moved(found, reference) < 1e-4


@pytest.mark.usefixtures("openvino")
def test_openvino_in_bfloat16_is_near_and_does_not_depend_on_the_batch(
    images: NDArray[np.uint8], reference: NDArray[np.float32]
) -> None:
    encoder = in_bfloat16()
    try:
        found = encoder.encode(images)
    except EncoderError as error:
        pytest.skip(str(error))
    assert 1e-3 < moved(found, reference) < 0.2
    parts = np.concatenate([encoder.encode(images[i : i + 3]) for i in range(0, len(images), 3)])
    assert moved(parts, found) < 1e-4


def test_torch_in_float16_is_near(images: NDArray[np.uint8], reference: NDArray[np.float32]) -> None:
    pytest.importorskip("timm", reason="timm is not installed")
    encoder = DirectoryEncoder(PLACE, "cpu", 1, "float16")
    found = encoder.encode(images)
    assert encoder.runtime.startswith("torch ")
    assert encoder.runtime.endswith(" cpu float16")
    assert found.dtype == np.float32
    assert 1e-5 < moved(found, reference) < 0.05


@pytest.mark.usefixtures("openvino")
def test_a_processor_without_bfloat16_is_told_when_something_is_to_be_computed(
    images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    monkeypatch.setattr(openvino.Core, "get_property", lambda *asked: ["FP32", "INT8"])
    encoder = in_bfloat16()  # what is cached needs no arithmetic
    with pytest.raises(EncoderError, match=r"no bfloat16 arithmetic.*--precision float32"):
        encoder.encode(images)


def test_without_openvino_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else find(name))
    with pytest.raises(MissingExtraError, match=r"lusfx\[openvino\]"):
        in_bfloat16()


@pytest.mark.parametrize(
    ("device", "precision", "runtime"),
    [
        ("cpu", "bfloat16", "onnxruntime"),
        ("cpu", "bfloat16", "torch"),  # it would round otherwise, under the same fingerprint
        ("cuda", "bfloat16", "auto"),
        ("cpu", "float16", "openvino"),
        ("cuda", "float32", "openvino"),
        ("cuda", "float32", "onnxruntime"),
    ],
)
def test_what_contradicts_itself_is_refused(device: Device, precision: Precision, runtime: Runtime) -> None:
    with pytest.raises(UsageError, match="--runtime"):
        DirectoryEncoder(PLACE, device, 1, precision, runtime)


def test_an_encoder_of_one_precision_is_not_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = load_registry()
    deaf = EncoderSpec("deaf", "hears no precision", "none", lambda request: DirectoryEncoder(PLACE, "cpu"))
    monkeypatch.setattr(type(registry), "encoder", lambda self, name: deaf)

    def opened(precision: Precision) -> Encoder:
        return open_encoder(EncoderRequest("deaf", precision=precision), registry)

    assert opened("float32").name == DEFAULT_ENCODER
    with pytest.raises(UsageError, match="computes in float32 only"):
        opened("bfloat16")


@pytest.mark.slow
@pytest.mark.usefixtures("openvino")
def test_openvino_is_imported_without_its_telemetry() -> None:
    code = (
        "import sys, numpy as np\n"
        "from lusfx.encoders import BUNDLED, DEFAULT_ENCODER\n"
        "from lusfx.encoders.directory import DirectoryEncoder\n"
        "encoder = DirectoryEncoder(BUNDLED / DEFAULT_ENCODER, 'cpu', 1, 'float32', 'openvino')\n"
        "assert 'openvino' not in sys.modules\n"
        "encoder.encode(np.zeros((1, 96, 96), np.uint8))\n"
        "assert 'openvino' in sys.modules and 'torch' not in sys.modules\n"
        "assert not [name for name, module in sys.modules.items() if name.startswith('openvino_telemetry') and module]\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def altered(place: Path, weights: dict[str, NDArray[np.generic]]) -> DirectoryEncoder:
    """A copy of the encoder with other weights, whose card says that these are the right ones."""
    shutil.copytree(PLACE, place)
    save_file(weights, place / "weights.safetensors")
    card = json.loads((place / "encoder.json").read_text())
    card["files"]["weights.safetensors"] = hashlib.sha256((place / "weights.safetensors").read_bytes()).hexdigest()
    card["identity"] |= {"weights_sha256": weights_sha256(weights), "graph_sha256": card["files"]["encoder.onnx"]}
    (place / "encoder.json").write_text(json.dumps(card))
    return DirectoryEncoder(place, "cpu", 1, "float32", "openvino")


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize("change", ["missing", "left-over", "shape"])
def test_weights_must_fit_the_graph_to_the_last_one(tmp_path: Path, change: str) -> None:
    weights: dict[str, NDArray[np.generic]] = dict(load_file(PLACE / "weights.safetensors"))
    if change == "missing":
        del weights["bn1.bias"]
    elif change == "left-over":
        weights["extra.weight"] = np.zeros(3, np.float32)
    else:
        weights["bn1.bias"] = np.zeros(5, np.float32)
    with pytest.raises(EncoderError, match="do not fit each other"):
        altered(tmp_path / "encoder", weights).warm_up()


@pytest.mark.usefixtures("openvino")
def test_a_graph_that_names_files_beside_it_is_refused(tmp_path: Path) -> None:
    import onnx

    place = tmp_path / "encoder"
    shutil.copytree(PLACE, place)
    model = onnx.load_model(place / "encoder.onnx", load_external_data=False)
    constant = onnx.TensorProto(name="stolen", data_type=onnx.TensorProto.FLOAT, dims=[1])
    constant.data_location = onnx.TensorProto.EXTERNAL
    constant.external_data.add(key="location", value="secret.bin")
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["stolen"], value=constant))
    (place / "encoder.onnx").write_bytes(model.SerializeToString())
    card = json.loads((place / "encoder.json").read_text())
    card["files"]["encoder.onnx"] = hashlib.sha256((place / "encoder.onnx").read_bytes()).hexdigest()
    card["identity"]["graph_sha256"] = card["files"]["encoder.onnx"]
    (place / "encoder.json").write_text(json.dumps(card))
    with pytest.raises(EncoderError, match="names files"):
        DirectoryEncoder(place, "cpu", 1, "float32", "openvino").warm_up()


@pytest.mark.parametrize(
    "raised",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 452984832 bytes"),
        RuntimeError("Failed to allocate memory for requested buffer of size 150994944"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_too_little_memory_has_an_error_of_its_own(images: NDArray[np.uint8], raised: Exception) -> None:
    def fail(_images: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise raised

    with pytest.raises(EncoderMemoryError, match="a batch of 8 images"):
        CheckedCompute(fail, DirectoryEncoder(PLACE, "cpu").card)(images)


def test_any_other_failure_or_answer_is_an_encoder_error(images: NDArray[np.uint8]) -> None:
    card = DirectoryEncoder(PLACE, "cpu").card
    with pytest.raises(EncoderError, match="failed on a batch") as caught:
        CheckedCompute(lambda given: given[99], card)(images)
    assert not isinstance(caught.value, EncoderMemoryError)
    with pytest.raises(EncoderError, match="expected float32"):
        CheckedCompute(lambda given: np.zeros((len(given), 3), np.float32), card)(images)
