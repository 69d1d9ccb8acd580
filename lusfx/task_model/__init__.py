"""Task models: directories without pickle, bound to a fingerprint, checked whole before they answer."""

from __future__ import annotations

from lusfx.task_model.card import (
    NOVELTY_FILE,
    FeaturesCard,
    HeadCard,
    NoveltyCard,
    OperatingPointCard,
    OutcomeCard,
    RuleCard,
    TaskModelCard,
    TaskModelFacts,
    TrainingCard,
    calibration_card,
    head_file,
)
from lusfx.task_model.directory import OLD, check_replaceable, models_below, place_of_old, save_task_model
from lusfx.task_model.model import TaskModel, class_numbers, load_task_model, verify_task_model
from lusfx.task_model.own_encoder import OWN_ENCODER, encoder_sha256
from lusfx.task_model.starter import STARTERS, model_place, model_places, starter_names
from lusfx.task_model.task_card import AGGREGATIONS, AggregationCard, TaskCard
from lusfx.task_model.training_units import TrainingUnits
from lusfx.task_model.units import UnitFeatures, raw_scores

__all__ = [
    "AGGREGATIONS",
    "NOVELTY_FILE",
    "OLD",
    "OWN_ENCODER",
    "STARTERS",
    "AggregationCard",
    "FeaturesCard",
    "HeadCard",
    "NoveltyCard",
    "OperatingPointCard",
    "OutcomeCard",
    "RuleCard",
    "TaskCard",
    "TaskModel",
    "TaskModelCard",
    "TaskModelFacts",
    "TrainingCard",
    "TrainingUnits",
    "UnitFeatures",
    "calibration_card",
    "check_replaceable",
    "class_numbers",
    "encoder_sha256",
    "head_file",
    "load_task_model",
    "model_place",
    "model_places",
    "models_below",
    "place_of_old",
    "raw_scores",
    "save_task_model",
    "starter_names",
    "verify_task_model",
]
