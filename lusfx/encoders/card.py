"""``encoder.json``: what an encoder is, where it comes from, and the digests that prove its files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from lusfx.config import EncoderIdentity, PreprocessSpec
from lusfx.encoders.known_graphs import known_graph
from lusfx.encoders.probe import Probe
from lusfx.errors import EncoderError
from lusfx.plain_file import read_plain_file

CARD = "encoder.json"
WEIGHTS = "weights.safetensors"
GRAPH = "encoder.onnx"
MODEL_CARD = "MODEL_CARD.md"
MAX_CARD_BYTES = 1 << 20
MAX_FILE_BYTES = 1 << 32
FORMAT_VERSION: Final = 2
LATER_FIELDS: Final = ("training_sets", "origin")
"""Fields that an earlier lusfx of the same format version does not know: they are written only where they say something."""


class Origin(BaseModel):
    """What is known of a checkpoint that was imported.

    :param recipe: the recipe's name.
    :param checkpoint_sha256: digest of the file.
    :param licence_read_at: where the licence was read.
    :param may_be_passed_on: whether the licence lets others be given the encoder; None where that is not known.
    :param commercial_use: whether the licence lets the encoder be used for money; None where that is not known.
    :param dropped: tensors of the file that are not in the encoder, in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    checkpoint_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence_read_at: str
    may_be_passed_on: bool | None
    commercial_use: bool | None
    citation: str
    dropped: tuple[str, ...]


class TrainingSets(BaseModel):
    """The data sets that an encoder has seen, by name.

    :param complete: whether these are all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...]
    complete: bool


class EncoderCard(BaseModel):
    """The content of ``encoder.json``.

    :param name: what messages call the encoder.
    :param identity: what decides an embedding's value.
    :param preprocess: how frames must be prepared for it.
    :param licence: SPDX expression of the weights.
    :param training_data: what the weights were trained on.
    :param source: where the weights come from.
    :param files: SHA-256 of each other file of the directory.
    :param probe: what the encoder made of the probe image when it was written; None in version 1.
    :param training_sets: the data sets that it has seen; None where nobody says, and then not in the file.
    :param origin: of an imported checkpoint; None for all others, and then not in the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["lusfx-encoder"] = "lusfx-encoder"
    format_version: Literal[1, 2] = FORMAT_VERSION
    name: str = Field(min_length=1, max_length=200)
    identity: EncoderIdentity
    preprocess: PreprocessSpec
    licence: str
    training_data: str
    source: str
    files: dict[Literal["weights.safetensors", "encoder.onnx", "MODEL_CARD.md"], str]
    probe: Probe | None = None
    training_sets: TrainingSets | None = None
    origin: Origin | None = None

    @model_serializer(mode="wrap")
    def _as_an_earlier_lusfx_reads_it(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = serialise(self)
        return {key: value for key, value in values.items() if key not in LATER_FIELDS or value is not None}


def read_card(directory: Path) -> EncoderCard:
    """Read ``encoder.json``.

    :raises EncoderError: if it is missing or says anything unexpected.
    """
    try:
        content = read_plain_file(directory / CARD, MAX_CARD_BYTES, follow_links=True)
    except OSError:
        raise EncoderError(f"the directory is no encoder: it has no {CARD} that can be read") from None
    return parse_card(content)


def parse_card(content: bytes) -> EncoderCard:
    """The card that the bytes of ``encoder.json`` state.

    :raises EncoderError: if they say anything unexpected, or list another graph than the identity means.
    """
    try:
        card = EncoderCard.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        if place == "format_version" and first["input"] in range(FORMAT_VERSION + 1, 1 << 16):
            raise EncoderError(
                f"the encoder's {CARD} is of a later lusfx (format version {first['input']}, and this one reads up to "
                f"{FORMAT_VERSION}). Upgrade lusfx"
            ) from None
        raise EncoderError(f"the encoder's {CARD} is invalid: {place}: {first['msg']}") from None
    problem = _contradiction(card)
    if problem is not None:
        raise EncoderError(f"the encoder's {CARD} is invalid: {problem}")
    return card


def _contradiction(card: EncoderCard) -> str | None:
    """What of a card contradicts the rest of it."""
    identity, listed = card.identity, {str(name): digest for name, digest in card.files.items()}
    values = None if card.probe is None else card.probe.values()
    meant, graph = identity.graph_sha256 or known_graph(identity), listed.get(GRAPH)
    unproven = identity.graph_sha256 is None and graph is None  # by its identity torch alone can compute it
    problems = {
        "mean and std need a value a channel": {len(identity.mean), len(identity.std)} != {identity.channels},
        "std must be more than 0": any(value <= 0 for value in identity.std),
        "identity.input_size must be preprocess.size": identity.input_size not in (None, card.preprocess.size),
        "a probe goes with format version 2": (card.probe is None) != (card.format_version == 1),
        f"probe.embedding must be base64 of {identity.dim} finite numbers": card.probe is not None
        and (values is None or len(values) != identity.dim),
        "identity.graph_sha256 beside weights goes with a probe": identity.graph_sha256 is not None
        and WEIGHTS in listed
        and card.probe is None,
        f"the {GRAPH} that it lists is not the graph that the identity means": meant is not None
        and graph != meant
        and not unproven,
    }
    return next((problem for problem, is_one in problems.items() if is_one), None)


def read_file(directory: Path, card: EncoderCard, name: str) -> bytes:
    """Read one file of an encoder directory and check it against the card.

    :raises EncoderError: if it is missing, not listed, or not what was written.
    """
    listed = dict(card.files)
    if name not in listed:
        raise EncoderError(f"encoder {card.name} has no {name}")
    try:
        # What a link leads to is proved by its digest, as everything is.
        content = read_plain_file(directory / name, MAX_FILE_BYTES, follow_links=True)
    except OSError:
        raise EncoderError(f"encoder {card.name}: {name} is missing or cannot be read") from None
    if hashlib.sha256(content).hexdigest() != listed[name]:
        raise EncoderError(f"encoder {card.name}: {name} is not the file that {CARD} was written for")
    return content


def weights_sha256(tensors: Mapping[str, NDArray[np.generic]]) -> str:
    """Digest over every weight tensor: name, dtype, shape and bytes, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}\0{tensor.dtype.str}\0{tensor.shape}\0".encode())
        digest.update(tensor.tobytes(order="C"))
    return digest.hexdigest()


def parse_weights(content: bytes, card: EncoderCard) -> dict[str, NDArray[np.generic]]:
    """Tensors of a safetensors file, checked to be the encoder's.

    :raises EncoderError: if the file is damaged, holds other weights, or a value that is not finite.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors: dict[str, NDArray[np.generic]] = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"encoder {card.name}: {WEIGHTS} is damaged ({type(error).__name__})") from None
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise EncoderError(f"encoder {card.name}: the weight {name} has a value that is not finite")
    if weights_sha256(tensors) != card.identity.weights_sha256:
        raise EncoderError(f"encoder {card.name}: {WEIGHTS} holds other weights than {CARD} says")
    return tensors
