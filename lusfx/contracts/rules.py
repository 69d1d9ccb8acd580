"""Rules that a task declares: where to cut, when to ask, when to say nothing, and what an exam's zones add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from lusfx.errors import PluginError


@dataclass(frozen=True, slots=True)
class Youden:
    """The threshold with the largest sensitivity + specificity - 1 (Youden 1950); of several, the lowest."""


@dataclass(frozen=True, slots=True)
class MinSensitivity:
    """Sensitivity is at least ``value``, and specificity as high as that allows; what sensitivity costs nothing is taken.

    Never above Youden's threshold: where that one is sensitive enough, a screen has no reason to miss more.
    """

    value: float

    def __post_init__(self) -> None:
        _require_share(self.value, "MinSensitivity")


@dataclass(frozen=True, slots=True)
class MinSpecificity:
    """Specificity is at least ``value``, and sensitivity as high as that allows; what specificity costs nothing is taken.

    Never below Youden's threshold.
    """

    value: float

    def __post_init__(self) -> None:
        _require_share(self.value, "MinSpecificity")


OperatingPoint = Youden | MinSensitivity | MinSpecificity
Named = TypeVar("Named")


def strictness(rule: OperatingPoint) -> tuple[int, float]:
    """Sorts rules as their thresholds lie: of one outcome a rule's threshold is never above that of a later one."""
    match rule:
        case MinSensitivity(value):
            return 0, -value
        case MinSpecificity(value):
            return 2, value
    return 1, 0.0


def by_strictness(rules: Mapping[str, OperatingPoint], named: Mapping[str, Named]) -> dict[str, Named]:
    """What belongs to operating points, in the one order in which tables and pages name them: as their thresholds lie."""
    return {
        name: named[name] for name in sorted(rules, key=lambda name: (strictness(rules[name]), name)) if name in named
    }


@dataclass(frozen=True, slots=True)
class Gate:
    """A task is answered only where another task has a given answer; elsewhere it is *not assessable*, which is not no.

    :param task: name of the other task, whose unit is the clip.
    :param is_: the answer that it must have, one of its classes.
    """

    task: str
    is_: str


@dataclass(frozen=True, slots=True)
class Abstention:
    """When no answer is given; the unit is then *not assessable*, with the reason.

    :param min_beam_confidence: clips whose beam is right with less probability are left out, of training too, and so are
        those of which none is recorded; 0 takes all.
    :param min_frames: clips with fewer readable frames are left out, of training too.
    :param familiar: share of the training units that must count as familiar; what lies farther from the training set
        than the rest of them is not answered. None to answer everything.
    """

    min_beam_confidence: float = 0.5
    min_frames: int = 1
    familiar: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_beam_confidence <= 1:
            raise PluginError("Abstention: 'min_beam_confidence' must be from 0 to 1")
        if self.min_frames < 1:
            raise PluginError("Abstention: 'min_frames' must be at least 1")
        if self.familiar is not None and not 0.5 <= self.familiar < 1:
            raise PluginError("Abstention: 'familiar' must be None, or at least 0.5 and below 1")


@dataclass(frozen=True, slots=True)
class ZoneSummary:
    """An exam's answer from those of its clips: the worst pattern of each zone, and their sum where no zone is missing.

    As the LUS score adds the aeration of each zone from 0 to 3 (Soldati et al. 2020, doi 10.1002/jum.15285). A zone without
    an assessed clip is reported as missing and never counted as 0.

    :param zones: all zones of a complete exam, as label tables and manifests name them.
    """

    zones: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.zones or len(set(self.zones)) != len(self.zones):
            raise PluginError("ZoneSummary: 'zones' must be different names, at least one")


def _require_share(value: float, rule: str) -> None:
    if not 0 < value <= 1:
        raise PluginError(f"{rule}: the value must be above 0 and at most 1")
