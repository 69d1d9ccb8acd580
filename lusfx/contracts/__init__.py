"""What a plugin implements: Reader, Encoder, Head, Task, and the small values that they exchange."""

from __future__ import annotations

from lusfx.contracts.aggregation import Aggregation, BestWindow, LongestRun, Mean, NoisyOr, frame_durations
from lusfx.contracts.checks import check_encoder, check_head, check_reader, check_task, gate_circle
from lusfx.contracts.encoder import Device, Encoder, EncoderRequest, EncoderSpec, Runtime
from lusfx.contracts.head import Bags, Features, Head, HeadSettings, HeadSpec, TrainingSet, head_in_words
from lusfx.contracts.plugin import API_VERSION, Plugin
from lusfx.contracts.reader import HEAD_BYTES, Reader, ending_of
from lusfx.contracts.recipe import EncoderRecipe, parse_recipe
from lusfx.contracts.rules import (
    Abstention,
    Gate,
    MinSensitivity,
    MinSpecificity,
    OperatingPoint,
    Youden,
    ZoneSummary,
    by_strictness,
)
from lusfx.contracts.task import UNKNOWN, Kind, Pooling, Target, Task, Unit

__all__ = [
    "API_VERSION",
    "HEAD_BYTES",
    "UNKNOWN",
    "Abstention",
    "Aggregation",
    "Bags",
    "BestWindow",
    "Device",
    "Encoder",
    "EncoderRecipe",
    "EncoderRequest",
    "EncoderSpec",
    "Features",
    "Gate",
    "Head",
    "HeadSettings",
    "HeadSpec",
    "Kind",
    "LongestRun",
    "Mean",
    "MinSensitivity",
    "MinSpecificity",
    "NoisyOr",
    "OperatingPoint",
    "Plugin",
    "Pooling",
    "Reader",
    "Runtime",
    "Target",
    "Task",
    "TrainingSet",
    "Unit",
    "Youden",
    "ZoneSummary",
    "by_strictness",
    "check_encoder",
    "check_head",
    "check_reader",
    "check_task",
    "ending_of",
    "frame_durations",
    "gate_circle",
    "head_in_words",
    "parse_recipe",
]
