"""Task models: directories without pickle, bound to a fingerprint, checked whole before they answer."""

from __future__ import annotations

from lusfx.task_model.card import (
    FeaturesCard,
    HeadCard,
    OperatingPointCard,
    RuleCard,
    TaskCard,
    TaskModelCard,
    TaskModelFacts,
    TrainingCard,
)
from lusfx.task_model.directory import check_replaceable, save_task_model
from lusfx.task_model.model import TaskModel, load_task_model, verify_task_model

__all__ = [
    "FeaturesCard",
    "HeadCard",
    "OperatingPointCard",
    "RuleCard",
    "TaskCard",
    "TaskModel",
    "TaskModelCard",
    "TaskModelFacts",
    "TrainingCard",
    "check_replaceable",
    "load_task_model",
    "save_task_model",
    "verify_task_model",
]
