"""Encoder directories: strict on loading, the same embeddings on every runtime, whatever the batch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from lusfx.contracts import EncoderRequest
from lusfx.encoders import BUNDLED, IMAGENET_ENCODER
from lusfx.encoders.card import read_card, weights_sha256
from lusfx.encoders.directory import DirectoryEncoder, open_directory
from lusfx.errors import EncoderError, UsageError


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of an encoder that may be damaged."""
    shutil.copytree(BUNDLED / IMAGENET_ENCODER, tmp_path / "encoder")
    return tmp_path / "encoder"


def rewrite_card(directory: Path, **change: object) -> None:
    card = json.loads((directory / "encoder.json").read_text())
    (directory / "encoder.json").write_text(json.dumps(card | change))


def relist(directory: Path, name: str) -> None:
    """Make the card say that an altered file is the right one."""
    import hashlib

    card = json.loads((directory / "encoder.json").read_text())
    card["files"][name] = hashlib.sha256((directory / name).read_bytes()).hexdigest()
    (directory / "encoder.json").write_text(json.dumps(card))


def test_its_identity_is_known_without_a_runtime_and_it_encodes_without_torch() -> None:
    code = (
        "import sys, numpy as np\n"
        "from lusfx.encoders import BUNDLED, DEFAULT_ENCODER\n"
        "from lusfx.encoders.directory import DirectoryEncoder\n"
        "encoder = DirectoryEncoder(BUNDLED / DEFAULT_ENCODER)\n"
        "size, dim = encoder.preprocess.size, encoder.identity.dim\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "assert encoder.encode(np.zeros((1, size, size), np.uint8)).shape == (1, dim)\n"
        "assert not {'torch', 'onnx', 'timm'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("name", ["weights.safetensors", "encoder.onnx"])
def test_an_altered_file_is_noticed_before_it_is_used(copy: Path, name: str) -> None:
    generator = np.random.default_rng(0)
    content = (copy / name).read_bytes()
    for position in generator.integers(0, len(content), 8):
        altered = bytearray(content)
        altered[position] ^= 1
        (copy / name).write_bytes(altered)
        with pytest.raises(EncoderError, match=f"{name} is not the file") as caught:
            DirectoryEncoder(copy, "cpu").warm_up()
        assert str(copy) not in str(caught.value)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "weights.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"weights\.safetensors is missing"):
        DirectoryEncoder(copy, "cpu").warm_up()


def test_other_weights_are_refused_even_if_the_card_lists_them(copy: Path) -> None:
    weights = load_file(copy / "weights.safetensors")
    weights["bn1.bias"] = weights["bn1.bias"] + np.float32(1e-6)
    save_file(weights, copy / "weights.safetensors")
    relist(copy, "weights.safetensors")
    with pytest.raises(EncoderError, match="holds other weights"):
        DirectoryEncoder(copy, "cpu").warm_up()


def with_weights(directory: Path, weights: dict[str, NDArray[np.generic]]) -> DirectoryEncoder:
    save_file(weights, directory / "weights.safetensors")
    relist(directory, "weights.safetensors")
    card = json.loads((directory / "encoder.json").read_text())
    card["identity"]["weights_sha256"] = weights_sha256(weights)
    (directory / "encoder.json").write_text(json.dumps(card))
    return DirectoryEncoder(directory, "cpu")


def test_weights_that_are_not_finite_are_refused(copy: Path) -> None:
    weights = load_file(copy / "weights.safetensors")
    weights["bn1.bias"] = np.full_like(weights["bn1.bias"], np.nan)
    with pytest.raises(EncoderError, match=r"bn1\.bias has a value that is not finite"):
        with_weights(copy, weights).warm_up()


@pytest.mark.parametrize("change", ["missing", "left-over", "shape"])
def test_keys_and_shapes_must_fit_to_the_last_one(copy: Path, change: str) -> None:
    weights = load_file(copy / "weights.safetensors")
    if change == "missing":
        del weights["bn1.bias"]
    elif change == "left-over":
        weights["extra.weight"] = np.zeros(3, np.float32)
    else:
        weights["bn1.bias"] = np.zeros(5, np.float32)
    encoder = with_weights(copy, weights)
    with pytest.raises(EncoderError):
        encoder.warm_up()
    pytest.importorskip("timm", reason="timm is not installed")
    from lusfx.encoders.torch_runtime import load_torch

    with pytest.raises(EncoderError, match="do not fit"):
        load_torch(copy, encoder.card, "cpu")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"format_version": 0},
        {"format_version": 1},
        {"probe": None},
        {"probe": {"image": 2, "embedding": ""}},
        {"probe": {"image": 1, "embedding": "AAAA"}},
        {"probe": {"image": 1, "embedding": "no base64"}},
        {"unknown": 1},
        {"name": ""},
        {"files": {"../evil": "00"}},
        {"preprocess": {"size": 5}},
        {"identity": None},
    ],
)
def test_a_card_that_says_anything_unexpected_is_refused(copy: Path, change: dict[str, object]) -> None:
    rewrite_card(copy, **change)
    with pytest.raises(EncoderError, match=r"encoder\.json is invalid"):
        read_card(copy)


def test_a_card_of_a_later_version_says_so(copy: Path) -> None:
    rewrite_card(copy, format_version=3)
    with pytest.raises(EncoderError, match=r"of a later lusfx \(format version 3, .*Upgrade"):
        read_card(copy)


def test_mean_and_std_need_a_value_a_channel(copy: Path) -> None:
    card = json.loads((copy / "encoder.json").read_text())
    card["identity"]["mean"] = [0.5]
    (copy / "encoder.json").write_text(json.dumps(card))
    with pytest.raises(EncoderError, match="a value a channel"):
        read_card(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_damaged_card_is_refused(copy: Path, content: bytes) -> None:
    (copy / "encoder.json").write_bytes(content)
    with pytest.raises(EncoderError):
        read_card(copy)


def test_a_folder_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no encoder"):
        read_card(tmp_path)


def test_a_directory_takes_no_other_weights(copy: Path) -> None:
    with pytest.raises(UsageError, match="own weights"):
        open_directory(copy, EncoderRequest("x", weights=Path("w.safetensors")))


def test_cuda_where_there_is_none_says_what_to_do(copy: Path) -> None:
    try:
        import torch
    except ImportError:
        pass
    else:
        if torch.cuda.is_available():
            pytest.skip("this machine has a CUDA device")
    with pytest.raises(EncoderError, match="--device cpu"):
        DirectoryEncoder(copy, "cuda")


@pytest.mark.parametrize(
    "change", [lambda a: a + 1, lambda a: a.astype(np.float64), lambda a: a.reshape(1, -1), lambda a: a[::-1].copy()]
)
def test_the_digest_of_weights_covers_values_types_and_shapes(change: object) -> None:
    weights = {"a": np.arange(6, dtype=np.float32), "b": np.array(3)}
    digest = weights_sha256(weights)
    assert weights_sha256({"b": weights["b"], "a": weights["a"]}) == digest
    assert weights_sha256(weights | {"a": change(weights["a"])}) != digest
    assert weights_sha256({"c": weights["a"], "b": weights["b"]}) != digest
