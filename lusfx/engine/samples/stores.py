"""Which features of a cache to work on: those that are named, the only ones, or those that a task model takes."""

from __future__ import annotations

from lusfx.cache import Cache, Store
from lusfx.errors import CacheError, UsageError
from lusfx.messages import short
from lusfx.task_model import TaskModel


def choose_store(cache: Cache, fingerprint: str | None) -> Store:
    """The features to work on: those named, or the only ones that the cache holds.

    :param fingerprint: a fingerprint or the beginning of one.
    :raises CacheError: if the cache holds none.
    :raises UsageError: if it holds several and none was named.
    """
    if fingerprint is not None:
        return cache.find(fingerprint)
    stores = cache.stores()
    if not stores:
        raise CacheError("the cache holds no features yet. Run: lusfx extract SOURCES... --cache DIR")
    if len(stores) > 1:
        held = ", ".join(map(_told, stores))
        raise UsageError(f"the cache holds features of several fingerprints: {held}. Name one with --fingerprint")
    return stores[0]


def _told(store: Store) -> str:
    """A store by its fingerprint, the encoder's architecture and the rate, where frames were sampled."""
    fps = store.spec.preprocess.fps
    rate = "" if fps is None else f", {fps:g} frames a second"
    return f"{short(store.fingerprint)} ({store.spec.encoder.architecture}{rate})"


def store_for(cache: Cache, model: TaskModel) -> Store:
    """The features that a task model takes.

    :raises CacheError: if the cache holds none of them, or they cannot be read.
    """
    fingerprint = model.card.features.fingerprint
    if not any(path.name == fingerprint for path in cache.store_directories()):
        raise CacheError(
            f"the cache holds no features that {model.name} takes ({short(fingerprint)}). Run: lusfx extract SOURCES... "
            f"--cache DIR --encoder {model.encoder_argument}"
        )
    return cache.find(fingerprint)
