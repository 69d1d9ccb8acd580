"""Which features of a cache to work on: those that are named, the only ones, or those that a task model takes."""

from __future__ import annotations

from pathlib import Path

from lusfx.cache import Cache, Store
from lusfx.config import PREPROCESS_VERSION
from lusfx.encoders.card import read_card
from lusfx.errors import CacheError, EncoderError, UsageError
from lusfx.messages import short
from lusfx.task_model import TaskModel


def choose_store(cache: Cache, fingerprint: str | None, encoder: str | Path | None = None) -> Store:
    """The features to work on: those named, or the only ones that the cache holds.

    :param fingerprint: a fingerprint or the beginning of one.
    :param encoder: the encoder that made them, by a name that a run gave it, or its directory.
    :raises CacheError: if the cache holds none, or none of this encoder.
    :raises UsageError: if it holds several and none was named, or the two names do not go together.
    """
    if fingerprint is not None:
        store = cache.find(fingerprint)
        if encoder is not None and store not in _of_encoder(cache, [store], encoder):
            raise UsageError(f"the features {short(store.fingerprint)} are not of the encoder that --encoder names")
        return store
    held = cache.stores()
    if not held:
        raise CacheError("the cache holds no features yet. Run: lusfx extract SOURCES... --cache DIR")
    stores = held if encoder is None else _of_encoder(cache, held, encoder)
    if not stores:
        known = ", ".join(_told(cache, store) for store in held)
        raise CacheError(f"the cache holds no features of the encoder that --encoder names; it holds: {known}")
    if len(stores) > 1:
        found = ", ".join(_told(cache, store) for store in stores)
        way = "--fingerprint" if encoder is not None else "--encoder or --fingerprint"
        raise UsageError(f"the cache holds features of several fingerprints: {found}. Name one with {way}")
    return stores[0]


def _of_encoder(cache: Cache, stores: list[Store], encoder: str | Path) -> list[Store]:
    try:
        identity = read_card(Path(encoder)).identity if Path(encoder).is_dir() else None
    except EncoderError:
        identity = None
    if identity is not None:
        return [store for store in stores if store.spec.encoder == identity]
    names = cache.encoder_names()
    return [store for store in stores if str(encoder) in names.get(store.fingerprint, [])]


def _told(cache: Cache, store: Store) -> str:
    """A store by its fingerprint, its encoder's name, and what else is not as it is by default."""
    spec = store.spec
    facts = [cache.encoder_name(store.fingerprint)]
    if spec.preprocess.fps is not None:
        facts.append(f"{spec.preprocess.fps:g} frames a second")
    if spec.precision != "float32":
        facts.append(spec.precision)
    if spec.preprocess.version != PREPROCESS_VERSION:
        facts.append(f"frames of version {spec.preprocess.version}")
    return f"{short(store.fingerprint)} ({', '.join(facts)})"


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
