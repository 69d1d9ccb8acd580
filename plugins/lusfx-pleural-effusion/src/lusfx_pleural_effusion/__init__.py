"""Pleural effusion: fluid between the lung and the chest wall, dark, above the diaphragm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lusfx.contracts import Abstention, Gate, MinSensitivity, MinSpecificity, OperatingPoint, Task, Youden
from lusfx.hookspecs import hookimpl

LUSFX_API_VERSION = 2

OPERATING_POINTS: Mapping[str, OperatingPoint] = {
    "balanced": Youden(),
    "screen": MinSensitivity(0.9),
    "rule-in": MinSpecificity(0.9),
}


class PleuralEffusion(Task):
    """Pleural effusion in a pleural view, one answer a clip."""

    name, version = "pleural-effusion", 1
    classes = ("no effusion", "effusion")
    label_columns = ("effusion",)
    requires = Gate(task="view", is_="pleural")
    abstain = Abstention(familiar=0.99)
    operating_points = OPERATING_POINTS


class PleuralEffusionAnyView(Task):
    """Pleural effusion in any view, one answer a clip."""

    name, version = "pleural-effusion-any-view", 1
    classes = ("no effusion", "effusion")
    label_columns = ("effusion",)
    operating_points = OPERATING_POINTS


@hookimpl
def lusfx_register_tasks() -> Sequence[Task]:
    return [PleuralEffusion(), PleuralEffusionAnyView()]
