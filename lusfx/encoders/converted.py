"""Encoders that were converted before: directories of this user, by what they compute and by their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lusfx.config import FeatureSpec, Precision, user_directory
from lusfx.encoders.card import EncoderCard, read_card
from lusfx.errors import EncoderError


def converted_directory() -> Path:
    """The folder of all of them; it need not be there."""
    return user_directory() / "encoders"


def converted_of(fingerprint: str, precision: Precision, fps: float | None) -> Path | None:
    """The directory of the encoder whose features have a fingerprint; None if it was not converted here.

    Of version 1 of the preprocessing, too: that nobody prepares such frames any more is said by whoever needs them.
    """
    for directory, card in _converted():
        spec = FeatureSpec(encoder=card.identity, preprocess=card.preprocess.as_prepared_by(), precision=precision)
        sampled = spec.sampled(fps)
        if fingerprint in {sampled.fingerprint, sampled.as_prepared_by(1).fingerprint}:
            return directory
    return None


def converted_named(name: str) -> list[Path]:
    """The directories of encoders with a name: of one architecture, several weights may have been converted."""
    return [directory for directory, card in _converted() if card.name == name]


def _converted() -> Iterator[tuple[Path, EncoderCard]]:
    try:
        found = sorted(path for path in converted_directory().iterdir() if not path.name.startswith("."))
    except OSError:
        return
    for directory in found:
        try:
            yield directory, read_card(directory)
        except EncoderError:
            continue  # a damaged one is no reason not to use the others
