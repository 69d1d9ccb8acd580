"""The fingerprint changes with everything that decides an embedding, and with nothing else."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from lusfx.config import FeatureSpec, PreprocessSpec
from lusfx.errors import UsageError


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
        ("preprocess", {"fps": 6.0}),
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


def test_a_rate_is_in_the_json_only_where_there_is_one(feature_spec: FeatureSpec) -> None:
    """The text, and not the digest alone: encoder cards, frame stores and studies are known by it as well."""
    assert "fps" not in feature_spec.canonical_json()
    assert "fps" not in feature_spec.preprocess.model_dump()
    assert feature_spec.sampled(None) is feature_spec
    sampled = feature_spec.sampled(6)
    assert '"fps":6.0' in sampled.canonical_json()
    assert sampled.fingerprint == feature_spec.sampled(6.0).fingerprint
    assert FeatureSpec.model_validate_json(sampled.canonical_json()) == sampled
    assert sampled.fingerprint == "f564e3bf27d2d79bbbe0c87333ad8fe90269aa2b419091d21e88cab601eb2e7a"


@pytest.mark.parametrize("fps", [0, -6, 1001, float("nan"), float("inf")])
def test_a_rate_that_no_clip_has_is_refused(feature_spec: FeatureSpec, fps: float) -> None:
    with pytest.raises(UsageError, match="frames a second"):
        feature_spec.sampled(fps)
    with pytest.raises(ValidationError):
        PreprocessSpec(fps=fps)


def test_an_unknown_field_is_an_error(feature_spec: FeatureSpec) -> None:
    with pytest.raises(ValidationError):
        FeatureSpec.model_validate(json.loads(feature_spec.canonical_json()) | {"device": "cuda"})
