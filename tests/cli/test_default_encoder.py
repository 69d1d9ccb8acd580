"""Help names the encoder that is used by default, and the lists mark it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from lusfx.cli import group
from lusfx.encoders import DEFAULT_ENCODER, IMAGENET_ENCODER


@pytest.mark.parametrize("words", ["extract", "inspect", "cache explain", "fine-tune"])
def test_help_names_the_default(words: str) -> None:
    shown = " ".join(CliRunner().invoke(group, [*words.split(), "--help"]).output.split())
    assert f"[default: {DEFAULT_ENCODER}" in shown


def test_the_list_of_encoders_marks_the_default() -> None:
    result = CliRunner().invoke(group, ["encoders", "--json"])
    listed = {entry["name"]: entry["default"] for entry in json.loads(result.output)}
    assert {name: listed[name] for name in (DEFAULT_ENCODER, IMAGENET_ENCODER)} == {
        DEFAULT_ENCODER: True,
        IMAGENET_ENCODER: False,
    }
    assert sum(listed.values()) == 1
    assert f"{DEFAULT_ENCODER} (default)" in CliRunner().invoke(group, ["encoders"]).output
