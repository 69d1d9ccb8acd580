"""Which view of the lung a clip shows: what other tasks are gated by.

A parenchymal view shows the pleural line between two ribs, and what lies below it: A-lines, B-lines, consolidation. A pleural
view shows the base of the lung with the diaphragm, where fluid gathers. A-lines and B-lines are a question for the first,
pleural effusion for the second (VanBerlo et al. 2023, doi 10.1109/ACCESS.2023.3337398).
"""

from __future__ import annotations

from collections.abc import Sequence

from lusfx.contracts import Abstention, Task
from lusfx.hookspecs import hookimpl

LUSFX_API_VERSION = 2

CLASSES = ("parenchymal", "pleural")
VIEW_OF_ZONE = {"L1": 0, "L2": 0, "L3": 1, "R1": 0, "R2": 0, "R3": 1}
"""What is usual at the points of the BLUE protocol (Lichtenstein and Mezière 2008, doi 10.1378/chest.07-2800): L3 and R3
are the posterolateral points."""


class View(Task):
    """Parenchymal or pleural view of the lung, one answer a clip."""

    name, version = "view", 1
    classes = CLASSES
    label_columns = ("view",)
    abstain = Abstention(familiar=0.99)

    def label(self, cell: str) -> int | None:
        word = cell.casefold()
        if word in self.classes:
            return self.classes.index(word)
        try:
            if word.isalpha():  # 'yes' would be an answer to another question
                raise ValueError
            return super().label(cell)
        except ValueError:
            raise ValueError("expected parenchymal, pleural, 0 or 1") from None


class ViewByZone(Task):
    """Parenchymal or pleural view, guessed from the zone for want of view labels, one answer a clip."""

    name, version = "view-by-zone", 1
    classes = CLASSES
    label_columns = ("zone",)
    abstain = Abstention(familiar=0.99)

    def label(self, cell: str) -> int | None:
        return VIEW_OF_ZONE.get(cell.upper())


@hookimpl
def lusfx_register_tasks() -> Sequence[Task]:
    return [View(), ViewByZone()]
