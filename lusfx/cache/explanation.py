"""Why a cache does or does not hold a clip's embeddings of a feature spec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from lusfx.cache.store import Cache
from lusfx.config import FeatureSpec
from lusfx.errors import CorruptRecordError


@dataclass(frozen=True, slots=True)
class Miss:
    """A store that holds the clip under another feature spec.

    :param differing: dotted field name -> (value there, value wanted).
    """

    fingerprint: str
    differing: dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a clip is a hit or a miss.

    :param verdict: ``hit``, ``damaged``, ``other-fingerprint`` or ``never-encoded``.
    """

    clip: str
    fingerprint: str
    verdict: str
    misses: list[Miss]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def explain(cache: Cache, key: str, spec: FeatureSpec) -> Explanation:
    """Say why the cache does or does not hold a clip's embeddings of a feature spec, naming the fields that differ."""
    misses = []
    verdict = "never-encoded"
    for store in cache.stores():
        if key not in store:
            continue
        if store.fingerprint != spec.fingerprint:
            misses.append(Miss(store.fingerprint, spec_difference(store.spec, spec)))
            continue
        try:
            store.read(key)
            verdict = "hit"
        except CorruptRecordError:
            verdict = "damaged"
    if verdict == "never-encoded" and misses:
        verdict = "other-fingerprint"
    return Explanation(key, spec.fingerprint, verdict, misses)


def spec_difference(one: FeatureSpec, other: FeatureSpec) -> dict[str, tuple[Any, Any]]:
    """Dotted names of the fields in which two feature specs differ, with both values."""
    left, right = dict(_flat(one.model_dump(mode="json"))), dict(_flat(other.model_dump(mode="json")))
    return {
        name: (left.get(name), right.get(name))
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name)
    }


def _flat(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{prefix}{name}.")
        else:
            yield prefix + name, item
