"""What a pretraining run did: for the terminal, for programs, for its report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lusfx.pretraining.history import Record
from lusfx.pretraining.settings import PretrainingSettings
from lusfx.shown import Shown

LINEAR, NEIGHBOURS = "linear", "neighbours"
"""The two readings of a probe, in the history."""


@dataclass(slots=True, repr=False)
class PretrainResult(Shown):
    """What a run did.

    :param out: its directory; the encoder is in ``encoder`` below it, if one was written.
    :param beginning: where the weights that it began with are from, in words.
    :param data: counts of what was decoded.
    :param history: what was measured before the first epoch and after each.
    :param finished: whether all epochs are done; if not, the same command goes on.
    :param interrupted: whether somebody stopped it, rather than its time being over.
    :param images_per_s: views trained on a second, over the whole run.
    """

    out: Path
    settings: PretrainingSettings
    beginning: str
    data: dict[str, Any]
    history: list[Record]
    finished: bool
    interrupted: bool
    has_encoder: bool
    images: int
    seconds: float
    warnings: list[str]

    @property
    def epochs_done(self) -> int:
        return len(self.history) - 1

    @property
    def collapsed(self) -> bool:
        """Whether the encoder says almost the same of every frame, when last looked at."""
        return self.epochs_done > 0 and bool(self.history[-1].get("collapsed"))

    @property
    def images_per_s(self) -> float:
        return self.images / self.seconds if self.seconds else 0.0

    def summary(self) -> str:
        """One line."""
        settings = self.settings
        said = f"{settings.method} on {settings.architecture}: epoch {self.epochs_done} of {settings.epochs}"
        if self.epochs_done:
            said += f", loss {self.history[-1]['loss']:.4g}"
        now, before = (mean_probe(record, LINEAR) for record in (self.history[-1], self.history[0]))
        if self.epochs_done and not math.isnan(now):
            said += f", linear probe {now:.3f}" + ("" if math.isnan(before) else f" (before: {before:.3f})")
        said += f"; {self.images} images in {self.seconds:.1f} s, {self.images_per_s:.0f} images/s"
        if self.collapsed:
            said += "; COLLAPSED: the encoder says almost the same of every frame and is of no use"
        if not self.finished:
            said += "; not finished, the same command goes on"
        return said

    def as_dict(self) -> dict[str, Any]:
        """For programs: what ``lusfx pretrain --json`` prints."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "beginning": self.beginning,
            "data": self.data,
            "epochs_done": self.epochs_done,
            "finished": self.finished,
            "interrupted": self.interrupted,
            "collapsed": self.collapsed,
            "has_encoder": self.has_encoder,
            "images": self.images,
            "seconds": round(self.seconds, 3),
            "images_per_s": round(self.images_per_s, 2),
            "warnings": self.warnings,
            "history": self.history,
        }


def mean_probe(record: Record, reading: str) -> float:
    """Mean over the outcomes that could be judged; NaN where none could.

    :param reading: :data:`LINEAR` or :data:`NEIGHBOURS`.
    """
    areas = [value for value in record.get("probe", {}).get(reading, {}).values() if value is not None]
    return float(np.mean(areas)) if areas else float("nan")
