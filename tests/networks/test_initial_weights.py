"""What a training begins with: an encoder as it is, or an architecture; never a mixture."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

pytest.importorskip("timm", reason="training an encoder needs timm")

from lusfx.encoders import BUNDLED, DEFAULT_ENCODER, IMAGENET_ENCODER
from lusfx.encoders.card import WEIGHTS, read_card
from lusfx.errors import EncoderError, UsageError
from lusfx.networks.initial_weights import RANDOM_WEIGHTS, choose_initial_weights
from lusfx.plugins import Registry, build_registry


@pytest.fixture(scope="module")
def registry() -> Registry:
    return build_registry([])


@pytest.mark.parametrize("name", [DEFAULT_ENCODER, IMAGENET_ENCODER])
def test_an_encoder_gives_all_that_it_is(registry: Registry, name: str) -> None:
    card = read_card(BUNDLED / name)
    begun = choose_initial_weights(name, None, None, None, registry)
    assert begun.network.architecture == "tf_efficientnet_lite0"
    assert begun.network.layer == card.identity.layer
    assert begun.network.normalisation == (card.identity.mean, card.identity.std)
    assert (begun.preprocess, begun.network.size) == (card.preprocess, card.preprocess.size)
    assert begun.network.weights == BUNDLED / name / WEIGHTS
    assert begun.weights_sha256 == hashlib.sha256((BUNDLED / name / WEIGHTS).read_bytes()).hexdigest()
    assert (begun.name, begun.licence, begun.random) == (name, "Apache-2.0", False)
    assert f"the encoder {name} (weights {card.identity.weights_sha256}" in begun.origin
    assert f"trained on {card.training_data}" in begun.origin


def test_nothing_named_is_lusfxs_own_and_a_size_changes_the_size_alone(registry: Registry) -> None:
    assert choose_initial_weights(None, None, None, None, registry).name == DEFAULT_ENCODER
    by_path = choose_initial_weights(str(BUNDLED / IMAGENET_ENCODER), None, None, 64, registry)
    whole = choose_initial_weights(IMAGENET_ENCODER, None, None, None, registry)
    assert by_path.network.size == by_path.preprocess.size == 64
    assert by_path.preprocess == whole.preprocess.model_copy(update={"size": 64})
    assert by_path.weights_sha256 == whole.weights_sha256


def test_an_architecture_begins_with_random_weights_or_those_of_a_file(registry: Registry, tmp_path: Path) -> None:
    begun = choose_initial_weights(None, "timm/test_efficientnet", None, None, registry, layer="blocks.2")
    assert (begun.network.architecture, begun.network.layer) == ("test_efficientnet", "blocks.2")
    assert (begun.network.size, begun.preprocess.size) == (128, 128)
    assert (begun.origin, begun.weights_sha256, begun.licence) == (RANDOM_WEIGHTS, None, None)
    assert begun.random
    assert begun.network.normalisation is None
    (tmp_path / "w").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    of_file = choose_initial_weights(None, "test_efficientnet", tmp_path / "w", 64, registry)
    assert (of_file.network.layer, of_file.network.size) == ("global-pool", 64)
    assert of_file.weights_sha256 == digest
    assert digest in of_file.origin
    assert not of_file.random


@pytest.mark.parametrize(
    ("encoder", "architecture", "weights", "size", "layer", "said"),
    [
        ("x", "resnet18", None, None, None, "not both"),
        (DEFAULT_ENCODER, None, Path("w"), None, None, "--weights goes with --architecture"),
        (None, None, Path("w"), None, None, "--weights goes with --architecture"),
        (DEFAULT_ENCODER, None, None, None, "blocks.3", "--layer goes with --architecture"),
        (None, "resnet18", Path("nowhere"), None, None, "cannot be read"),
        (None, "resnet18", None, 8, None, "from 32 to 1024 pixels"),
        ("no-such", None, None, None, None, "no-such"),
    ],
)
def test_what_does_not_go_together_is_refused(
    registry: Registry,
    encoder: str | None,
    architecture: str | None,
    weights: Path | None,
    size: int | None,
    layer: str | None,
    said: str,
) -> None:
    with pytest.raises(UsageError, match=said):
        choose_initial_weights(encoder, architecture, weights, size, registry, layer=layer)


def test_an_altered_encoder_is_not_begun_with(registry: Registry, tmp_path: Path) -> None:
    shutil.copytree(BUNDLED / DEFAULT_ENCODER, tmp_path / "encoder")
    with (tmp_path / "encoder" / WEIGHTS).open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x7f")
    with pytest.raises(EncoderError, match=r"weights.safetensors is not the file"):
        choose_initial_weights(str(tmp_path / "encoder"), None, None, None, registry)
