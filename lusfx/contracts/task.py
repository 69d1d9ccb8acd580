"""Task: a question that is asked of cached embeddings. A task plugin is a subclass with a few class attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts.aggregation import Aggregation
from lusfx.contracts.rules import Abstention, Gate, OperatingPoint, Youden, ZoneSummary

Unit = Literal["frame", "clip", "exam"]
Kind = Literal["binary", "multi-class", "multi-label", "ordinal"]
Pooling = Literal["mean", "max", "mean+max", "mean+std", "mean+change", "mean+max+change", "attention", "custom"]

Target = int | Sequence[int | None] | None
"""What is known of one unit: the number of its class (binary, multi-class, ordinal), or for each label 0, 1 or None
(multi-label). None is *not known*, and never a negative."""

UNKNOWN = -1
"""Stands for *not known* in arrays of targets."""


WORDS = {"no": 0, "false": 0, "yes": 1, "true": 1}
"""What a cell may say to a yes-or-no question in place of 0 and 1, in any capitals."""


class Task:
    """A question about a frame, a clip or an exam.

    Subclass it, set the class attributes, and return an instance from ``lusfx_register_tasks``. The class docstring's
    first line says what is asked.

    Example::

        class PleuralEffusion(Task):
            \"\"\"Pleural effusion, one answer a clip.\"\"\"
            name, version = "pleural-effusion", 1
            classes = ("no effusion", "effusion")
            label_columns = ("effusion",)
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised when labels are read, frames pooled or probabilities aggregated differently."""
    unit: ClassVar[Unit] = "clip"
    """What gets one answer. A table's clip labels are weak labels of a ``frame`` task; all rows of an exam must agree on
    the label of an ``exam`` task."""
    kind: ClassVar[Kind] = "binary"
    """``binary``: class 0 or class 1. ``multi-class``: one of several. ``ordinal``: one of several in rising order.
    ``multi-label``: each class is present or not, whatever the others are."""
    classes: ClassVar[tuple[str, ...]] = ("no", "yes")
    """Names of the classes. A binary task's score is the probability of the second."""
    label_columns: ClassVar[tuple[str, ...]]
    """The columns of a label table that say the answer; of a multi-label task, one a class in the same order."""
    not_known: ClassVar[tuple[str, ...]] = ("indeterminate",)
    """What a label cell may say beside nothing where the answer is not known; upper and lower case alike."""
    pooling: ClassVar[Pooling] = "mean+max"
    """How the embeddings of a unit's frames become its features: their mean, maximum and standard deviation, and how fast
    they change, a second, one after the other. ``attention`` leaves that to a head that weighs frames;
    ``custom`` calls :meth:`pool`."""
    aggregate: ClassVar[Aggregation | None] = None
    """Where set, the head scores single frames, and this makes the clip's score of theirs; nothing is pooled."""
    frames_per_clip: ClassVar[int] = 16
    """Frames of a clip, evenly spaced, that a head learns from where it is given frames and not a pooled vector. An
    attention head sees as many when it scores; an aggregation and a ``frame`` task score all."""
    requires: ClassVar[Gate | None] = None
    """Where the question makes sense at all."""
    abstain: ClassVar[Abstention] = Abstention()
    """When no answer is given."""
    exam_summary: ClassVar[ZoneSummary | None] = None
    """What the clips of an exam add up to, zone by zone."""
    operating_points: ClassVar[Mapping[str, OperatingPoint]] = {"balanced": Youden()}
    """Named thresholds, chosen on patients that the head was not trained on. The first decides the answer."""

    def label(self, cell: str) -> int | None:
        """What a label cell states: the number of a class, or 0 or 1 for one label of a multi-label task.

        By default a number, and for a multi-class task the name of a class. Of a yes-or-no question also ``yes``, ``true``,
        ``no`` or ``false`` in any capitals, and of a binary task the name of one of its two classes.

        :param cell: text of the cell, stripped, neither blank nor one of :attr:`not_known`.
        :returns: None where the cell states nothing.
        :raises ValueError: if the cell makes no sense; training stops and names the row.
        """
        if self.kind == "multi-class":
            if cell not in self.classes:
                raise ValueError(f"expected one of {', '.join(self.classes)}")
            return self.classes.index(cell)
        highest = len(self.classes) - 1 if self.kind == "ordinal" else 1
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if value in range(highest + 1):
            return int(value)
        if self.kind == "binary" and cell in self.classes:
            return self.classes.index(cell)
        if self.kind != "ordinal" and cell.casefold() in WORDS:
            return WORDS[cell.casefold()]
        # The message does not repeat the cell: a table's columns may be mixed up.
        raise ValueError(
            "expected 0 or 1, or no or yes" if highest == 1 else f"expected a whole number from 0 to {highest}"
        )

    def target(self, cells: Mapping[str, str]) -> Target:
        """What a row of a label table states. Override it where one cell alone cannot say.

        :param cells: the row's cells of :attr:`label_columns`, stripped.
        :raises ValueError: as :meth:`label` does.
        """
        stated = [self.known(cells[column]) for column in self.label_columns]
        return stated if self.kind == "multi-label" else stated[0]

    def known(self, cell: str) -> int | None:
        """:meth:`label` of a cell that states something; None of one that is blank or *not known*."""
        if not cell or cell.casefold() in self.not_known:
            return None
        return self.label(cell)

    def pool(self, embeddings: NDArray[np.float32], times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Features of a clip, where :attr:`pooling` is ``custom``: how the embeddings change over time, say.

        :param embeddings: ``(n, dim)`` of the readable frames in order, n >= 1; not to be changed.
        :param times_s: ``(n,)`` seconds after the clip's first frame; NaN where unknown.
        :returns: ``(n_features,)``, finite, of the same length for every clip and from this clip alone.
        """
        raise NotImplementedError(f"task '{self.name}' has pooling 'custom' and no method 'pool'")

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The yes-or-no questions that the task is answered by, each with a head, a calibration and thresholds of its own.

        One of a binary task; one a label; one a class against the rest; one a step of an ordinal scale, *at least this
        level* (Frank and Hall 2001, doi 10.1007/3-540-44795-4_13).
        """
        if self.kind == "binary":
            return self.classes[1:]
        if self.kind == "ordinal":
            return tuple(f"at least {name}" for name in self.classes[1:])
        return self.classes

    def outcome_targets(self, target: Target) -> tuple[int, ...]:
        """A target as answers to :attr:`outcomes`: 0, 1 or :data:`UNKNOWN` each.

        :raises ValueError: if the target is none of this task's.
        """
        if target is None:
            return (UNKNOWN,) * len(self.outcomes)
        if self.kind == "multi-label":
            if not isinstance(target, Sequence) or len(target) != len(self.classes):
                raise ValueError(f"expected {len(self.classes)} labels")
            if not all(value in (None, 0, 1) for value in target):
                raise ValueError("a label is 0, 1 or None")
            return tuple(UNKNOWN if value is None else int(value) for value in target)
        number = int(target) if isinstance(target, Integral) else UNKNOWN
        if not 0 <= number < len(self.classes):
            raise ValueError(f"expected the number of a class from 0 to {len(self.classes) - 1}")
        if self.kind == "multi-class":
            return tuple(int(number == other) for other in range(len(self.classes)))
        return tuple(int(number >= level) for level in range(1, len(self.classes)))

    @property
    def question(self) -> str:
        """First line of the class docstring."""
        return (type(self).__doc__ or self.name).strip().splitlines()[0]
