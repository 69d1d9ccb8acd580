"""The questions of the demo, defined here so that it needs no plugin."""

from __future__ import annotations

from collections.abc import Mapping

from lusfx.contracts import Gate, MinSensitivity, OperatingPoint, Task, Youden

OPERATING_POINTS: Mapping[str, OperatingPoint] = {"balanced": Youden(), "screen": MinSensitivity(0.9)}


class View(Task):
    """Parenchymal or pleural view of the lung, one answer a clip."""

    name, version = "view", 1
    classes = ("parenchymal", "pleural")
    label_columns = ("view",)
    operating_points = OPERATING_POINTS

    def label(self, cell: str) -> int | None:
        if cell not in self.classes:
            raise ValueError("expected parenchymal or pleural")
        return self.classes.index(cell)


class ABLines(Task):
    """A-lines and B-lines, each seen or not, in a parenchymal view."""

    name, version, kind = "ab-lines", 1, "multi-label"
    classes = ("A-lines", "B-lines")
    label_columns = ("a_lines", "b_lines")
    requires = Gate(task="view", is_="parenchymal")
    operating_points = OPERATING_POINTS


class Effusion(Task):
    """Pleural effusion in a pleural view, one answer a clip."""

    name, version = "effusion", 1
    classes = ("no effusion", "effusion")
    label_columns = ("effusion",)
    requires = Gate(task="view", is_="pleural")
    operating_points = OPERATING_POINTS


def demo_tasks() -> list[Task]:
    """The gate first, then the questions that are asked where it opens."""
    return [View(), ABLines(), Effusion()]
