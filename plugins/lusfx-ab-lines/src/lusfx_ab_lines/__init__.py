"""A-lines, B-lines, and the severity that follows from them, asked of one clip at a time.

The columns are those of COVID-BLUES (Wiedemann et al. 2025, doi 10.1109/JBHI.2025.3543686). A clip may show A-lines and
B-lines both; ``ab`` is the reading that makes one question of the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lusfx.contracts import (
    Abstention,
    Gate,
    MinSensitivity,
    MinSpecificity,
    OperatingPoint,
    Target,
    Task,
    Youden,
    ZoneSummary,
)
from lusfx.hookspecs import hookimpl

LUSFX_API_VERSION = 2

OPERATING_POINTS: Mapping[str, OperatingPoint] = {
    "balanced": Youden(),
    "screen": MinSensitivity(0.9),
    "rule-in": MinSpecificity(0.9),
}
BLUE_ZONES = ("L1", "L2", "L3", "R1", "R2", "R3")
"""The points of the BLUE protocol (Lichtenstein and Mezière 2008, doi 10.1378/chest.07-2800)."""


class ABLines(Task):
    """A-lines and B-lines, each seen or not, in a parenchymal view."""

    name, version, kind = "ab-lines", 1, "multi-label"
    classes = ("A-lines", "B-lines")
    label_columns = ("a_lines", "b_lines")
    requires = Gate(task="view", is_="parenchymal")
    abstain = Abstention(familiar=0.99)
    operating_points = OPERATING_POINTS


class AB(Task):
    """A-lines or B-lines, in any view.

    The binary reading of VanBerlo et al. (2023, doi 10.1109/ACCESS.2023.3337398): B-lines wherever they are seen, A-lines
    where they are seen and B-lines are not. A clip with neither is of neither class, and one of which nobody knows whether it
    has B-lines is no A-lines clip.
    """

    name, version = "ab", 1
    classes = ("A-lines", "B-lines")
    label_columns = ("a_lines", "b_lines")
    operating_points = OPERATING_POINTS

    def target(self, cells: Mapping[str, str]) -> Target:
        a_lines, b_lines = self.known(cells["a_lines"]), self.known(cells["b_lines"])
        if b_lines == 1:
            return 1
        return 0 if (a_lines, b_lines) == (1, 0) else None


class ALines(Task):
    """A-lines: repetitions of the pleural line at multiples of its depth, in any view."""

    name, version = "a-lines", 1
    classes = ("no A-lines", "A-lines")
    label_columns = ("a_lines",)
    operating_points = OPERATING_POINTS


class BLines(Task):
    """B-lines: bright vertical lines from the pleura to the bottom of the image, in any view."""

    name, version = "b-lines", 1
    classes = ("no B-lines", "B-lines")
    label_columns = ("b_lines",)
    operating_points = OPERATING_POINTS


class Severity(Task):
    """Severity from 0 to 3, in any view.

    The scale is that of Soldati et al. (2020, doi 10.1002/jum.15285): 0 an even pleural line and A-lines; 1 an indented pleural
    line and white below the indents; 2 a broken pleural line and consolidations below the breaks; 3 dense white lung over a
    large area.
    """

    name, version, kind = "severity", 1, "ordinal"
    classes = ("0", "1", "2", "3")
    label_columns = ("severity",)
    exam_summary = ZoneSummary(BLUE_ZONES)
    operating_points = OPERATING_POINTS


@hookimpl
def lusfx_register_tasks() -> Sequence[Task]:
    return [ABLines(), AB(), ALines(), BLines(), Severity()]
