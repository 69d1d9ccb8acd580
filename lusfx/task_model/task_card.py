"""The question as its plugin stated it when the heads were trained: enough to ask it again without that plugin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lusfx.config import Spec
from lusfx.contracts import (
    Abstention,
    Aggregation,
    BestWindow,
    Gate,
    Kind,
    LongestRun,
    Mean,
    NoisyOr,
    Pooling,
    Task,
    Unit,
    ZoneSummary,
)
from lusfx.errors import LusfxError, TaskModelError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""Of a task, a head, an operating point, a file: safe in a path, a message and a table's header."""

Words = Annotated[str, Field(min_length=1, max_length=1000)]
Share = Annotated[float, Field(ge=0, le=1)]

AGGREGATIONS: Mapping[str, type[Mean | LongestRun | BestWindow | NoisyOr]] = {
    "mean": Mean,
    "longest-run": LongestRun,
    "best-window": BestWindow,
    "noisy-or": NoisyOr,
}
CUSTOM = "custom"


class AggregationCard(Spec):
    """Which aggregation, with its parameters; ``custom`` for one that only the task's plugin knows."""

    kind: Literal["mean", "longest-run", "best-window", "noisy-or", "custom"]
    parameters: Mapping[Name, float] = Field(max_length=20)

    @classmethod
    def of(cls, aggregation: Aggregation) -> Self:
        """Describe an aggregation."""
        for kind, known in AGGREGATIONS.items():
            if type(aggregation) is known and is_dataclass(aggregation):
                return cls.model_validate({"kind": kind, "parameters": asdict(aggregation)})
        return cls(kind=CUSTOM, parameters={})

    def make(self) -> Aggregation:
        """The aggregation that was described.

        :raises TaskModelError: if the parameters are not its own.
        """
        try:
            return AGGREGATIONS[self.kind](**self.parameters)
        except (TypeError, LusfxError):
            raise TaskModelError(f"the aggregation '{self.kind}' has other parameters") from None


class GateCard(Spec):
    """Where the question makes sense: where ``task`` has the answer ``is_``."""

    task: Name
    is_: Words


class AbstentionCard(Spec):
    """When no answer is given."""

    min_beam_confidence: Share
    min_frames: int = Field(ge=1)
    familiar: float | None = Field(ge=0.5, lt=1)


class ZoneSummaryCard(Spec):
    """The zones of a complete exam."""

    zones: tuple[Words, ...] = Field(min_length=1, max_length=1000)


class TaskCard(Spec):
    """A task, without its labels.

    :param pooling: as the heads were trained, which ``train-task --pooling`` or a head that takes bags may have changed.
    """

    name: Name
    version: int = Field(ge=1)
    question: Words
    unit: Unit
    kind: Kind
    classes: tuple[Words, ...] = Field(min_length=1, max_length=1000)
    outcomes: tuple[Words, ...] = Field(min_length=1, max_length=1000)
    pooling: Pooling
    aggregate: AggregationCard | None
    frames_per_clip: int = Field(ge=1)
    requires: GateCard | None
    abstain: AbstentionCard
    exam_summary: ZoneSummaryCard | None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        n_outcomes = {"binary": 1, "ordinal": len(self.classes) - 1}.get(self.kind, len(self.classes))
        if len(self.outcomes) != n_outcomes or (self.kind == "binary" and len(self.classes) != 2):
            raise ValueError("the outcomes are not those of the classes")
        if self.unit != "clip" and (self.aggregate is not None or self.exam_summary is not None):
            raise ValueError("only the answers of clips are aggregated or summarised")
        if self.exam_summary is not None and self.kind not in ("binary", "ordinal"):
            raise ValueError("only the answers of a binary or an ordinal task are summarised")
        return self

    @classmethod
    def of(cls, task: Task, pooling: Pooling | None = None) -> Self:
        """Describe a task.

        :param pooling: another one than the task's own.
        """
        return cls(
            name=task.name,
            version=task.version,
            question=task.question,
            unit=task.unit,
            kind=task.kind,
            classes=task.classes,
            outcomes=task.outcomes,
            pooling=pooling or task.pooling,
            aggregate=None if task.aggregate is None else AggregationCard.of(task.aggregate),
            frames_per_clip=task.frames_per_clip,
            requires=_gate_card(task.requires),
            abstain=_abstention_card(task.abstain),
            exam_summary=_zone_card(task.exam_summary),
        )

    @property
    def takes_bags(self) -> bool:
        """Whether heads get the frames of each unit, because they or an aggregation put them together."""
        return self.aggregate is not None or self.pooling == "attention"

    @property
    def needs_plugin(self) -> bool:
        """Whether the task's plugin must be installed to score, because it brings code of its own."""
        return self.pooling == CUSTOM or (self.aggregate is not None and self.aggregate.kind == CUSTOM)

    @property
    def form(self) -> str:
        """How frames become what a head scores, in words: a pooling, or an aggregation with its parameters."""
        if self.aggregate is None:
            return self.pooling
        parameters = [f"{name}={value:g}" for name, value in self.aggregate.parameters.items()]
        return ", ".join([f"frames, then {self.aggregate.kind}", *parameters])

    def decided_by(self, point: str | None) -> str:
        """What makes the answer, in words.

        :param point: the operating point that decides each outcome; None of a model that only orders units.
        """
        if point is None:
            return f"not given: scores order {self.unit}s, and no threshold makes a yes or a no of them"
        if self.kind == "multi-class":
            return "the class with the highest probability; operating points are of single classes and do not decide it"
        if self.kind == "ordinal":
            return f"the highest level whose every step up to it is a yes at '{point}'"
        if self.kind == "multi-label":
            return f"every label that is a yes at '{point}'"
        return f"whether '{self.outcomes[0]}' is a yes at '{point}'"

    @property
    def exclusive(self) -> bool:
        """Whether a unit is of exactly one class."""
        return self.kind != "multi-label"


def _gate_card(gate: Gate | None) -> GateCard | None:
    return None if gate is None else GateCard(task=gate.task, is_=gate.is_)


def _abstention_card(abstention: Abstention) -> AbstentionCard:
    return AbstentionCard(
        min_beam_confidence=abstention.min_beam_confidence,
        min_frames=abstention.min_frames,
        familiar=abstention.familiar,
    )


def _zone_card(summary: ZoneSummary | None) -> ZoneSummaryCard | None:
    return None if summary is None else ZoneSummaryCard(zones=summary.zones)
