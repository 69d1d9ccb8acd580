"""What a fine-tuning begins with: an encoder, weights of a file, or random ones."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from lusfx.backbone import FAMILY
from lusfx.config import PreprocessSpec
from lusfx.contracts import EncoderRequest
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.encoders.card import WEIGHTS, parse_weights, read_file
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.engine.encoders import open_encoder
from lusfx.errors import UsageError
from lusfx.fine_tuning.network import Beginning
from lusfx.plugins import Registry

DEFAULT_SIZE = 128
SMALLEST, LARGEST = 32, 1024
RANDOM_WEIGHTS = "random weights"


@dataclass(frozen=True, slots=True)
class NamedBeginning:
    """What every network of a run begins as, and what is known of it.

    :param preprocess: how its frames are prepared.
    :param name: for the new encoder's own name.
    :param weights: where they come from, in words.
    :param licence: of the weights; None where nobody says.
    """

    network: Beginning
    preprocess: PreprocessSpec
    name: str
    weights: str
    licence: str | None

    @property
    def random(self) -> bool:
        return self.network.weights is None


def choose_beginning(
    encoder: str | None, architecture: str | None, weights: Path | None, size: int | None, registry: Registry
) -> NamedBeginning:
    """The encoder that was named, or lusfx's own; or a timm architecture with the weights of a file, or random ones.

    :param weights: safetensors file; goes with ``architecture``.
    :param size: side of the frames in pixels; None for the encoder's own, or 128 for an architecture.
    :raises UsageError: if these do not go together, or the encoder cannot be trained.
    :raises EncoderError: if the encoder's files are not what was written.
    """
    if size is not None and not SMALLEST <= size <= LARGEST:
        raise UsageError(f"size: frames have from {SMALLEST} to {LARGEST} pixels a side")
    if architecture is None:
        if weights is not None:
            raise UsageError("--weights goes with --architecture: an encoder has weights of its own")
        return _of_encoder(encoder or DEFAULT_ENCODER, size, registry)
    if encoder is not None:
        raise UsageError("name an --encoder or an --architecture to begin with, not both")
    begun = RANDOM_WEIGHTS if weights is None else f"the weights of a file with SHA-256 {_sha256(weights)}"
    spec = PreprocessSpec(size=size or DEFAULT_SIZE)
    name = architecture.removeprefix(FAMILY)
    return NamedBeginning(Beginning(name, spec.size, weights), spec, name, begun, None)


def _of_encoder(name: str, size: int | None, registry: Registry) -> NamedBeginning:
    opened = open_encoder(EncoderRequest(name, device="cpu"), registry)
    architecture = opened.identity.architecture
    if (
        not isinstance(opened, DirectoryEncoder)
        or not architecture.startswith(FAMILY)
        or WEIGHTS not in opened.card.files
    ):
        raise UsageError(
            f"encoder {opened.name} cannot be fine-tuned: it is no timm architecture with its {WEIGHTS}. Begin with one that "
            "is (lusfx pretrain makes them), or with --architecture and --weights"
        )
    card = opened.card
    parse_weights(read_file(opened.directory, card, WEIGHTS), card)
    spec = card.preprocess if size is None else card.preprocess.model_copy(update={"size": size})
    network = Beginning(
        architecture.removeprefix(FAMILY),
        spec.size,
        opened.directory / WEIGHTS,
        (card.identity.mean, card.identity.std),
        card.identity.layer,
    )
    words = f"the encoder {card.name} (weights {card.identity.weights_sha256}, trained on {card.training_data})"
    return NamedBeginning(network, spec, card.name, words, card.licence)


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"the weights file cannot be read: {os.strerror(error.errno or 0)}") from None
