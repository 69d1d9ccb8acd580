"""Which encoder a name, a directory or a file means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lusfx.cache import Cache, Store
from lusfx.contracts import Encoder, EncoderRequest
from lusfx.encoders import open_directory
from lusfx.engine.decoding.limits import available_cores
from lusfx.errors import CacheError, UsageError
from lusfx.plugins import Registry
from lusfx.task_model import TaskModel

SMALL_PX = 128
"""Side of images below which an encoder leaves cores to the decoders."""


def open_encoder(request: EncoderRequest, registry: Registry) -> Encoder:
    """Open an encoder directory, or the encoder that a plugin registered under the name.

    :raises UsageError: if it is neither, or does not compute in the precision that was asked for.
    """
    encoder = _open(request, registry)
    if encoder.precision != request.precision:
        raise UsageError(f"the encoder {encoder.name} computes in {encoder.precision} only")
    return encoder


def open_beside_decoders(request: EncoderRequest, registry: Registry, workers: int) -> Encoder:
    """Open an encoder that shares the cores with decoding processes; where the caller names no number of threads, choose it.

    Small images are not worth splitting among threads: measured on two cores beside one decoder, the encoder of 96 px is
    faster on one thread (1120 frames/s against 960), and those of 224 px on both (295 against 186).

    :param workers: decoding processes; 0 for none.
    """
    encoder = open_encoder(request, registry)
    if request.threads or not workers or encoder.preprocess.size > SMALL_PX:
        return encoder
    return open_encoder(replace(request, threads=max(1, available_cores() - workers)), registry)


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
    return spec.open(request)


def store_for(cache: Cache, model: TaskModel) -> Store:
    """The features that a task model takes.

    :raises CacheError: if the cache holds none of them, or they cannot be read.
    """
    fingerprint = model.card.features.fingerprint
    if not any(path.name == fingerprint for path in cache.store_directories()):
        raise CacheError(
            f"the cache holds no features that {model.name} takes ({fingerprint[:12]}). Run: lusfx extract SOURCES... "
            f"--cache DIR --encoder {model.encoder_argument}"
        )
    return cache.find(fingerprint)
