"""The bundled encoders and the example's pass the kit that plugins' encoders are held to."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from lusfx.encoders import DEFAULT_ENCODER, IMAGENET_ENCODER, lusfx_register_encoders
from lusfx.testing import EncoderConformance

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_encoder.py"
support = importlib.util.spec_from_file_location("custom_encoder", EXAMPLE)
assert support is not None
assert support.loader is not None
example = importlib.util.module_from_spec(support)
support.loader.exec_module(example)


SPECS = {spec.name: spec for spec in lusfx_register_encoders()}


class TestDefault(EncoderConformance):
    spec = SPECS[DEFAULT_ENCODER]


class TestImagenet(EncoderConformance):
    spec = SPECS[IMAGENET_ENCODER]


class TestExample(EncoderConformance):
    spec = example.lusfx_register_encoders()[0]
    is_plugin = False  # one file, which is not installed
