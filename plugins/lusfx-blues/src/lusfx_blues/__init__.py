"""Three questions about a clip of a BLUE point, in the labels of COVID-BLUES (Wiedemann et al. 2025).

A clip may show A-lines and B-lines both, so they are two tasks and not two classes of one.
"""

from __future__ import annotations

from collections.abc import Sequence

from lusfx.contracts import MinSensitivity, MinSpecificity, Task, Youden
from lusfx.hookspecs import hookimpl

LUSFX_API_VERSION = 1

OPERATING_POINTS = {"balanced": Youden(), "screen": MinSensitivity(0.9), "rule-in": MinSpecificity(0.9)}


class ALines(Task):
    """A-lines in the clip: repetitions of the pleural line at multiples of its depth."""

    name, version = "a-lines", 1
    classes = ("no A-lines", "A-lines")
    label_column = "a_lines"
    operating_points = OPERATING_POINTS


class BLines(Task):
    """B-lines in the clip: bright vertical lines from the pleura to the bottom of the image."""

    name, version = "b-lines", 1
    classes = ("no B-lines", "B-lines")
    label_column = "b_lines"
    operating_points = OPERATING_POINTS


class Severity(Task):
    """Severity of at least 2 on the scale of Soldati et al. (2020), from 0 to 3."""

    name, version = "severity", 1
    classes = ("0 or 1", "2 or 3")
    label_column = "severity"
    operating_points = OPERATING_POINTS

    def label(self, cell: str) -> int | None:
        score = float(cell)
        if score not in (0.0, 1.0, 2.0, 3.0):
            raise ValueError("expected a severity of 0, 1, 2 or 3")
        return int(score >= 2)


@hookimpl
def lusfx_register_tasks() -> Sequence[Task]:
    return [ALines(), BLines(), Severity()]
