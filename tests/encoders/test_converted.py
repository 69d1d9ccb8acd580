"""Encoders that were converted before are found by what they compute, and nothing is fetched where nothing may be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lusfx.contracts import EncoderRequest
from lusfx.encoders import BUNDLED, DEFAULT_ENCODER
from lusfx.encoders.converted import converted_directory, converted_of
from lusfx.engine.extraction.opening import open_encoder, open_encoder_of
from lusfx.errors import EncoderError, UsageError
from lusfx.plugins import build_registry

NAME = "timm/resnet18"


@pytest.fixture
def converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An encoder that this user has under timm's name, beside a damaged one; the hub may not be asked."""
    monkeypatch.setenv("LUSFX_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("lusfx.encoders.timm_family._from_hub", lambda name: pytest.fail("a network was asked"))
    place = converted_directory() / "timm-resnet18@0123456789ab"
    shutil.copytree(BUNDLED / DEFAULT_ENCODER, place)
    card = json.loads((place / "encoder.json").read_text())
    (place / "encoder.json").write_text(json.dumps(card | {"name": NAME}))
    (converted_directory() / "damaged").mkdir()
    return place


@pytest.mark.parametrize("fps", [None, 5.0])
@pytest.mark.parametrize("version", [1, 2])
def test_the_encoder_of_a_fingerprint_is_found_among_the_converted(
    converted: Path, fps: float | None, version: int
) -> None:
    registry = build_registry([])
    spec = open_encoder(EncoderRequest(str(converted), device="cpu"), registry).feature_spec.sampled(fps)
    fingerprint = spec.as_prepared_by(1 if version == 1 else 2).fingerprint
    assert converted_of(fingerprint, "float32", fps) == converted
    assert converted_of(fingerprint, "float32", 7.0) is None
    opened = open_encoder_of(fingerprint, fps, EncoderRequest(NAME, device="cpu"), registry)
    assert opened.identity == spec.encoder


def test_without_leave_to_fetch_a_name_is_what_was_converted_here_or_refused(converted: Path) -> None:
    from lusfx.encoders import lusfx_register_encoders

    timm = next(spec for spec in lusfx_register_encoders() if spec.family)
    request = EncoderRequest(NAME, device="cpu", download=False)
    assert timm.open(request).name == NAME
    shutil.copytree(converted, converted.with_name("other-weights"))
    with pytest.raises(EncoderError, match=r"from 2 sets of weights.*--encoder"):
        timm.open(request)
    shutil.rmtree(converted_directory())
    with pytest.raises(EncoderError, match=r"was not converted on this machine.*--encoder"):
        timm.open(request)


def test_features_of_an_encoder_that_is_not_here_ask_for_its_directory(converted: Path) -> None:
    with pytest.raises(UsageError, match=r"is not on this machine: unknown encoder 'mine'.*--encoder"):
        open_encoder_of("ab" * 32, None, EncoderRequest("mine", device="cpu"), build_registry([]))
