"""The fingerprint changes with everything that decides an embedding, and with nothing else."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from lusfx.config import FeatureSpec, PreprocessSpec


def test_the_fingerprint_is_the_digest_of_one_text(feature_spec: FeatureSpec) -> None:
    again = FeatureSpec.model_validate_json(feature_spec.canonical_json())
    assert again.fingerprint == feature_spec.fingerprint
    shuffled = json.loads(feature_spec.canonical_json(), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert FeatureSpec.model_validate(shuffled).fingerprint == feature_spec.fingerprint


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("encoder", {"weights_sha256": "00" * 32}),
        ("encoder", {"architecture": "other"}),
        ("encoder", {"mean": (0.5, 0.5, 0.4)}),
        ("encoder", {"layer": "other"}),
        ("preprocess", {"version": 1}),
        ("preprocess", {"size": 96}),
        ("preprocess", {"beam": "off"}),
        ("preprocess", {"stride": 2}),
        ("preprocess", {"resample": "box"}),
        ("preprocess", {"beam_min_confidence": 0.51}),
        (None, {"stored_dtype": "float32"}),
    ],
)
def test_every_field_is_in_the_fingerprint(
    feature_spec: FeatureSpec, part: str | None, change: dict[str, object]
) -> None:
    update = change if part is None else {part: getattr(feature_spec, part).model_copy(update=change)}
    assert feature_spec.model_copy(update=update).fingerprint != feature_spec.fingerprint


def test_the_fingerprint_of_a_spec_never_changes(feature_spec: FeatureSpec) -> None:
    """Caches written by earlier versions are found by it. A new field needs a new schema version, or no default."""
    assert feature_spec.fingerprint == "560354f0b2f0c9b295e5d2c2548d3deca075ee2c4ec71fc85a3260cbd062fb42"
    before = feature_spec.model_copy(update={"preprocess": PreprocessSpec(version=1)})
    assert before.fingerprint == "a656d99083c8229ea77afeddb699c4a1cd90de95427bb1269d05c83086f197f9"


def test_an_unknown_field_is_an_error(feature_spec: FeatureSpec) -> None:
    with pytest.raises(ValidationError):
        FeatureSpec.model_validate(json.loads(feature_spec.canonical_json()) | {"device": "cuda"})
