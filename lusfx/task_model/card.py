"""``task_model.json``: what a task model is, and the digest of every file that belongs to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from lusfx.config import Spec, canonical_json
from lusfx.contracts import MinSensitivity, MinSpecificity, OperatingPoint, Pooling, Youden
from lusfx.errors import TaskModelError
from lusfx.task_model.strict_json import read_bytes, strict_json

CARD_FILE = "task_model.json"
EVIDENCE_FILE = "evidence.json"
REPORT_FILE = "report.html"

MAX_CARD_BYTES = 1 << 20
MAX_FILE_BYTES = 1 << 29
SHORT_DIGITS = 12
"""Hexadecimal digits of a digest that are shown to people."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""Of a task, a head, an operating point, a file: safe in a path, a message and a table's header."""

Words = Annotated[str, Field(min_length=1, max_length=1000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class TaskCard(Spec):
    """The question, as the task plugin stated it when the head was trained."""

    name: Name
    version: int = Field(ge=1)
    question: Words
    unit: Literal["clip"]
    classes: tuple[Words, Words]
    pooling: Pooling


class HeadCard(Spec):
    """Which kind of head, and the settings that it was trained with."""

    name: Name
    settings: Mapping[Name, str | bool | int | float | None]


class FeaturesCard(Spec):
    """What the head takes.

    :param fingerprint: of the feature spec; the head knows features of no other.
    :param encoder: name of the encoder as the user gave it: for people and messages only.
    :param n_features: length of a row, after pooling.
    """

    fingerprint: Sha256
    encoder: Words
    n_features: int = Field(ge=1, le=1 << 17)


class RuleCard(Spec):
    """How a threshold was chosen; ``value`` is that of the two ``min-`` rules."""

    kind: Literal["youden", "min-sensitivity", "min-specificity"]
    value: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _value_where_needed(self) -> Self:
        if (self.value is None) != (self.kind == "youden"):
            raise ValueError("a 'min-' rule needs a value, and 'youden' takes none")
        return self

    @classmethod
    def of(cls, point: OperatingPoint) -> RuleCard:
        """The rule of a task's operating point."""
        match point:
            case Youden():
                return cls(kind="youden")
            case MinSensitivity(value):
                return cls(kind="min-sensitivity", value=value)
            case MinSpecificity(value):
                return cls(kind="min-specificity", value=value)


class OperatingPointCard(Spec):
    """A named threshold: the answer is class 1 where its probability is at least ``threshold``.

    Just above 1 it answers class 0 always, which is what the highest specificity can take.
    """

    rule: RuleCard
    threshold: float = Field(ge=0, le=2)


class TrainingCard(Spec):
    """What the head was trained on, in numbers.

    :param n_events: clips of class 1.
    :param created: date and time in UTC.
    """

    n_clips: int = Field(ge=1)
    n_patients: int = Field(ge=1)
    n_events: int = Field(ge=0)
    seed: int
    lusfx_version: Words
    created: AwareDatetime

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.n_patients > self.n_clips or self.n_events > self.n_clips:
            raise ValueError("there are more patients or events than clips")
        if self.created.utcoffset():
            raise ValueError("the date must be in UTC")
        return self


class FileCard(Spec):
    """Digest and length of one file."""

    sha256: Sha256
    n_bytes: int = Field(ge=0, le=MAX_FILE_BYTES)

    @classmethod
    def of(cls, content: bytes) -> FileCard:
        """Describe a file's content."""
        return cls(sha256=hashlib.sha256(content).hexdigest(), n_bytes=len(content))


class TaskModelFacts(Spec):
    """All that a task model says of itself before its files are written."""

    task: TaskCard
    head: HeadCard
    features: FeaturesCard
    operating_points: Mapping[Name, OperatingPointCard]
    training: TrainingCard


class TaskModelCard(TaskModelFacts):
    """``task_model.json``.

    :param files: every file of the directory but this one.
    :param card_sha256: of the canonical JSON of all the rest of the card. A threshold of which one bit has turned is a
        threshold still, and this is what tells.
    """

    format: Literal["lusfx-task-model"] = "lusfx-task-model"
    format_version: Literal[1] = 1
    files: Mapping[Name, FileCard]
    card_sha256: Sha256

    @model_validator(mode="after")
    def _has_its_files(self) -> Self:
        if CARD_FILE in self.files or not {EVIDENCE_FILE, REPORT_FILE} < set(self.files):
            raise ValueError(f"the files must be {EVIDENCE_FILE}, {REPORT_FILE} and the head's")
        return self


def make_card(facts: TaskModelFacts, contents: Mapping[str, bytes]) -> TaskModelCard:
    """Complete a card.

    :param contents: every other file of the directory, by name.
    :raises TaskModelError: if they are not those of a task model.
    """
    parts = {name: getattr(facts, name) for name in TaskModelFacts.model_fields}
    try:
        files = {name: FileCard.of(content) for name, content in contents.items()}
        card = TaskModelCard(**parts, files=files, card_sha256="0" * 64)
    except ValidationError as error:
        raise TaskModelError(f"the task model cannot be written: {first_problem(error)}") from None
    return card.model_copy(update={"card_sha256": _digest_of_the_rest(card.model_dump(mode="json"))})


def _digest_of_the_rest(card: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in card.items() if name != "card_sha256"}
    return hashlib.sha256(canonical_json(rest).encode("ascii")).hexdigest()


def read_card(directory: Path) -> tuple[TaskModelCard, str]:
    """Read and check ``task_model.json``.

    :returns: the card, and its SHA-256: the model's digest, because the card holds the digest of every other file.
    :raises TaskModelError: if it is missing or invalid.
    """
    content = read_bytes(directory / CARD_FILE, MAX_CARD_BYTES)
    value = strict_json(content, CARD_FILE)  # pydantic alone would take the last of two equal keys
    try:
        card = TaskModelCard.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise TaskModelError(f"{CARD_FILE} is invalid: {first_problem(error)}") from None
    if card.card_sha256 != _digest_of_the_rest(value):
        raise TaskModelError(f"{CARD_FILE} does not have the content that was written")
    return card, hashlib.sha256(content).hexdigest()


def first_problem(error: ValidationError) -> str:
    """Where and what, without repeating the value that was found."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(ascii(part)[1:-1] if isinstance(part, str) else str(part) for part in problem["loc"])
    return f"{where[:100]}: {problem['msg']}" if where else problem["msg"]
