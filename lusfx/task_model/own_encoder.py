"""The encoder that a task model brings along: an encoder directory within the task model's, proved by one digest.

The card of the task model holds the SHA-256 of ``encoder/encoder.json``, and that file holds those of the encoder's others.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lusfx.config import FeatureSpec
from lusfx.encoders.card import (
    CARD,
    GRAPH,
    MAX_CARD_BYTES,
    MAX_FILE_BYTES,
    MODEL_CARD,
    WEIGHTS,
    EncoderCard,
    parse_card,
    parse_weights,
)
from lusfx.errors import EncoderError, TaskModelError
from lusfx.task_model.strict_json import read_bytes

OWN_ENCODER = "encoder"
"""Name of the directory."""
FILES = frozenset({CARD, WEIGHTS, GRAPH, MODEL_CARD})
"""All that an encoder directory may hold."""


def encoder_sha256(encoder: Path) -> str:
    """What a task model's card says of an encoder directory.

    :raises TaskModelError: if it has no card.
    """
    return hashlib.sha256(read_bytes(encoder / CARD, MAX_CARD_BYTES)).hexdigest()


def copy_encoder(encoder: Path, task_model: Path) -> None:
    """Copy the files of an encoder directory, and nothing else, into the directory of a task model that is being written.

    :raises TaskModelError: if the directory is no encoder's.
    """
    card = _card(encoder)
    target = task_model / OWN_ENCODER
    target.mkdir(mode=0o700)
    for name in (CARD, *card.files):
        shutil.copyfile(encoder / name, target / name)


def own_encoder_problems(task_model: Path, sha256: str, fingerprint: str) -> list[str]:
    """What is wrong with the encoder of a task model, one sentence a problem.

    :param sha256: of its card, as the task model's card states.
    :param fingerprint: of the features that the heads take; the encoder must make them.
    """
    encoder = task_model / OWN_ENCODER
    try:
        if encoder.is_symlink() or not encoder.is_dir():
            return [f"the directory '{OWN_ENCODER}' is missing"]
        if encoder_sha256(encoder) != sha256:
            return [f"{OWN_ENCODER}/{CARD} does not have the content that was written"]
        card = _card(encoder)
        problems = [*_file_problems(encoder, card), *_foreign_entries(encoder, card)]
    except TaskModelError as error:
        return [f"{OWN_ENCODER}/: {error}"]
    if FeatureSpec(encoder=card.identity, preprocess=card.preprocess).fingerprint != fingerprint:
        problems.append(f"the encoder in '{OWN_ENCODER}' makes other features than the heads take")
    return problems


def foreign_to_encoder(task_model: Path) -> bool:
    """Whether the place of the encoder holds anything that no encoder directory has."""
    encoder = task_model / OWN_ENCODER
    if not os.path.lexists(encoder):
        return False
    return encoder.is_symlink() or not encoder.is_dir() or bool({entry.name for entry in encoder.iterdir()} - FILES)


def _card(encoder: Path) -> EncoderCard:
    try:
        return parse_card(read_bytes(encoder / CARD, MAX_CARD_BYTES))
    except EncoderError as error:
        raise TaskModelError(str(error)) from None


def _file_problems(encoder: Path, card: EncoderCard) -> Iterator[str]:
    for name, expected in sorted(card.files.items()):
        try:
            content = read_bytes(encoder / name, MAX_FILE_BYTES)
            if hashlib.sha256(content).hexdigest() != expected:
                yield f"{OWN_ENCODER}/{name} does not have the content that was written"
            elif name == WEIGHTS:
                parse_weights(content, card)
        except (TaskModelError, EncoderError) as error:
            yield f"{OWN_ENCODER}/: {error}"


def _foreign_entries(encoder: Path, card: EncoderCard) -> Iterator[str]:
    names = {entry.name for entry in encoder.iterdir() if not entry.name.startswith(".")}
    others = len(names - {CARD, *card.files})
    if others:
        yield f"there are entries in '{OWN_ENCODER}' that its {CARD} does not list ({others})"
