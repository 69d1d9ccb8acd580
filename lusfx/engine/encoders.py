"""Which encoder a name, a directory or a file means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lusfx.config import FeatureSpec
from lusfx.contracts import Encoder, EncoderRequest
from lusfx.encoders import open_directory
from lusfx.errors import UsageError
from lusfx.plugins import Registry


def open_encoder(request: EncoderRequest, registry: Registry) -> Encoder:
    """Open an encoder directory, or the encoder that a plugin registered under the name.

    :raises UsageError: if it is neither.
    """
    directory = Path(request.name)
    if directory.is_dir():
        return open_directory(directory, request)
    try:
        spec = registry.encoder(request.name)
    except UsageError as error:
        if "/" in request.name or "\\" in request.name:
            raise UsageError(f"there is no such encoder directory; and {error}") from None
        raise
    if request.weights is None:
        request = replace(request, weights=registry.resolve_weights(request.name))
    return spec.open(request)


def feature_spec(encoder: Encoder) -> FeatureSpec:
    """What decides the value of this encoder's embeddings."""
    return FeatureSpec(encoder=encoder.identity, preprocess=encoder.preprocess)
