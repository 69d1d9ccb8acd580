"""Which encoder a name, a directory or a file means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lusfx.config import EncoderIdentity, PreprocessSpec
from lusfx.contracts import Encoder, EncoderRequest
from lusfx.encoders import open_directory
from lusfx.encoders.batch import named_failure
from lusfx.encoders.converted import converted_of
from lusfx.errors import EncoderError, UsageError
from lusfx.messages import short
from lusfx.plugins import Registry


def open_encoder(request: EncoderRequest, registry: Registry) -> Encoder:
    """Open an encoder directory, or the encoder that a plugin registered under the name.

    :raises UsageError: if it is neither, or does not compute in the precision that was asked for.
    :raises EncoderError: if a plugin's encoder cannot be opened, whatever it raises, or is none.
    """
    encoder = _open(request, registry)
    for attribute, kind in (
        ("name", str),
        ("runtime", str),
        ("identity", EncoderIdentity),
        ("preprocess", PreprocessSpec),
    ):
        if not isinstance(getattr(encoder, attribute, None), kind):
            raise EncoderError(f"what was opened for the encoder is none: it has no '{attribute}' ({kind.__name__})")
    if encoder.precision != request.precision:
        raise UsageError(f"the encoder {encoder.name} computes in {encoder.precision} only")
    return encoder


def open_encoder_of(fingerprint: str, fps: float | None, request: EncoderRequest, registry: Registry) -> Encoder:
    """Open the encoder that makes the features of a fingerprint, by what was converted here or else by its name.

    Nothing is fetched: what a hub has under a name are perhaps other weights, and a site may have no network.

    :param fps: how many frames of each second these features are of.
    :raises UsageError: if it is not on this machine.
    :raises EncoderError: as :func:`open_encoder` does.
    """
    directory = converted_of(fingerprint, request.precision, fps)
    request = replace(request, name=str(directory or request.name), download=False)
    if not Path(request.name).is_dir():
        try:
            registry.encoder(request.name)
        except UsageError as error:
            raise UsageError(
                f"the encoder of these features ({short(fingerprint)}) is not on this machine: {error}. Name its directory "
                "with --encoder"
            ) from None
    return open_encoder(request, registry)


def _open(request: EncoderRequest, registry: Registry) -> Encoder:
    directory = Path(request.name)
    if directory.is_dir():
        return open_directory(directory, request)
    try:
        spec = registry.encoder(request.name)
    except UsageError as error:
        if directory.is_absolute() or len(directory.parts) > 2:  # a path, which is not repeated: it can name a patient
            known = ", ".join(sorted(registry.encoders.names()))
            raise UsageError(
                f"there is no such encoder directory, nor an encoder of such a name; known: {known}"
            ) from None
        if len(directory.parts) > 1:
            raise UsageError(f"there is no such encoder directory; and {error}") from None
        raise
    if request.weights is None:
        request = replace(request, weights=registry.resolve_weights(request.name))
    with named_failure(spec.name, "while it was opened"):
        return spec.open(request)
