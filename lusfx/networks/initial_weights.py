"""The initial weights of an encoder that is trained: those of an encoder, those of a file, or random ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lusfx.arguments import optional_path
from lusfx.backbone import FAMILY, LAST_LAYER
from lusfx.config import PreprocessSpec
from lusfx.contracts import EncoderRequest
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.encoders.card import WEIGHTS, parse_weights, read_file
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.engine.extraction.opening import open_encoder
from lusfx.errors import UsageError
from lusfx.messages import system_reason
from lusfx.networks.network_spec import NetworkSpec
from lusfx.plugins import Registry

DEFAULT_SIZE = 128
SMALLEST, LARGEST = 32, 1024
RANDOM_WEIGHTS = "random weights"


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """What every network of a run starts from, and what is known of it.

    :param preprocess: how its frames are prepared.
    :param name: for the new encoder's own name.
    :param origin: where they come from, in words.
    :param weights_sha256: digest of the file that holds them; None for random ones.
    :param licence: of the weights; None where nobody says.
    """

    network: NetworkSpec
    preprocess: PreprocessSpec
    name: str
    origin: str
    weights_sha256: str | None
    licence: str | None

    @property
    def random(self) -> bool:
        return self.network.weights is None


def choose_initial_weights(
    encoder: str | Path | None,
    architecture: str | None,
    weights: Path | str | None,
    size: int | None,
    registry: Registry,
    *,
    layer: str | None = None,
) -> InitialWeights:
    """The encoder that was named, or lusfx's own; or a timm architecture with the weights of a file, or random ones.

    :param weights: safetensors file; goes with ``architecture``.
    :param size: side of the frames in pixels; None for the encoder's own, or 128 for an architecture.
    :param layer: of the architecture, the layer that gives the embedding; None for the whole network. See
        :func:`lusfx.backbone.make_backbone`.
    :raises UsageError: if these do not go together, or the encoder cannot be trained.
    :raises EncoderError: if the encoder's files are not what was written.
    """
    if size is not None and not SMALLEST <= size <= LARGEST:
        raise UsageError(f"size: frames have from {SMALLEST} to {LARGEST} pixels a side")
    if encoder is not None and architecture is not None:
        raise UsageError("name an --encoder or an --architecture to begin with, not both")
    if architecture is not None:
        return _of_architecture(
            architecture.removeprefix(FAMILY), layer or LAST_LAYER, optional_path(weights), size or DEFAULT_SIZE
        )
    if weights is not None:
        raise UsageError("--weights goes with --architecture: an encoder has weights of its own")
    if layer is not None:
        raise UsageError("--layer goes with --architecture: an encoder has a layer of its own")
    return _of_encoder(str(encoder or DEFAULT_ENCODER), size, registry)


def _of_architecture(name: str, layer: str, weights: Path | None, size: int) -> InitialWeights:
    digest = None if weights is None else _sha256(weights)
    words = RANDOM_WEIGHTS if digest is None else f"the weights of a file with SHA-256 {digest}"
    network = NetworkSpec(name, size, weights, layer=layer)
    return InitialWeights(
        network=network,
        preprocess=PreprocessSpec(size=size),
        name=name,
        origin=words,
        weights_sha256=digest,
        licence=None,
    )


def _of_encoder(name: str, size: int | None, registry: Registry) -> InitialWeights:
    opened = open_encoder(EncoderRequest(name, device="cpu"), registry)
    architecture = opened.identity.architecture
    if (
        not isinstance(opened, DirectoryEncoder)
        or not architecture.startswith(FAMILY)
        or WEIGHTS not in opened.card.files
    ):
        raise UsageError(
            f"encoder {opened.name} cannot be trained: it is no timm architecture with its {WEIGHTS}. Begin with one that "
            "is (lusfx pretrain makes them), or with --architecture and --weights"
        )
    card = opened.card
    if card.identity.pooling != "mean" or card.identity.input_size is not None:
        raise UsageError(
            f"encoder {opened.name} cannot be trained: it takes tokens of a transformer, or another size of images than the "
            "architecture's own. Train heads on its features: lusfx extract, then lusfx train-task"
        )
    parse_weights(read_file(opened.directory, card, WEIGHTS), card)
    spec = opened.preprocess if size is None else opened.preprocess.model_copy(update={"size": size})
    network = NetworkSpec(
        architecture=architecture.removeprefix(FAMILY),
        size=spec.size,
        weights=opened.directory / WEIGHTS,
        normalisation=(card.identity.mean, card.identity.std),
        layer=card.identity.layer,
    )
    words = f"the encoder {card.name} (weights {card.identity.weights_sha256}, trained on {card.training_data})"
    return InitialWeights(
        network=network,
        preprocess=spec,
        name=card.name,
        origin=words,
        weights_sha256=card.files[WEIGHTS],
        licence=card.licence,
    )


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"the weights file cannot be read: {system_reason(error)}") from None
