"""``task_model.json``: what a task model is, and the digest of every file that belongs to it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from lusfx.calibration import Calibration, IsotonicCalibration, PlattCalibration
from lusfx.config import FramesPerSecond, Precision, Spec, canonical_json
from lusfx.contracts import MinSensitivity, MinSpecificity, OperatingPoint, Youden
from lusfx.errors import TaskModelError
from lusfx.task_model.evidence import EVIDENCE_FILE, MAX_UNITS
from lusfx.task_model.strict_json import read_bytes, strict_json
from lusfx.task_model.task_card import Name, Share, TaskCard, Words

CARD_FILE = "task_model.json"
REPORT_FILE = "report.html"
NOVELTY_FILE = "novelty.safetensors"

FORMAT_VERSION: Literal[2] = 2
MAX_CARD_BYTES = 1 << 22
MAX_FILE_BYTES = 1 << 29
MAX_ALL_BYTES = 1 << 31
"""Of a model's files together, which are held in memory while they are checked."""
MAX_HEAD_FILES = 16
"""Of one outcome."""
MAX_OUTCOMES = 1000
MAX_NAMED = 100
"""Settings of a head, or operating points."""
MAX_KNOTS = 1 << 17

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class HeadCard(Spec):
    """Which kind of head, and the settings that it was trained with."""

    name: Name
    settings: Mapping[Name, str | bool | int | float | None] = Field(max_length=MAX_NAMED)


class FeaturesCard(Spec):
    """What the heads take.

    :param fingerprint: of the feature spec; the heads know features of no other.
    :param encoder: name of the encoder as the user gave it: for people and messages only.
    :param dim: length of an embedding.
    :param n_features: length of a row that a head is given, after pooling.
    :param precision: what the encoder must compute in; float32 goes without saying, in the file too.
    :param fps: how many frames of each second are encoded; None for all, and then not in the file.
    """

    fingerprint: Sha256
    encoder: Words
    dim: int = Field(ge=1, le=1 << 16)
    n_features: int = Field(ge=1, le=1 << 17)
    precision: Precision = "float32"
    fps: FramesPerSecond | None = None


class PlattCard(Spec):
    """Platt's calibration (see :mod:`lusfx.calibration`)."""

    kind: Literal["platt"] = "platt"
    slope: float = Field(ge=0)
    intercept: float


class IsotonicCard(Spec):
    """Isotonic calibration (see :mod:`lusfx.calibration`)."""

    kind: Literal["isotonic"] = "isotonic"
    scores: tuple[Share, ...] = Field(min_length=1, max_length=MAX_KNOTS)
    probabilities: tuple[Share, ...] = Field(min_length=1, max_length=MAX_KNOTS)

    @model_validator(mode="after")
    def _is_monotone(self) -> Self:
        IsotonicCalibration(self.scores, self.probabilities)  # which says what is wrong with its knots
        return self


CalibrationCard = Annotated[PlattCard | IsotonicCard, Field(discriminator="kind")]


def calibration_card(calibration: Calibration | None) -> PlattCard | IsotonicCard | None:
    """Describe a calibration."""
    match calibration:
        case PlattCalibration(slope, intercept):
            return PlattCard(slope=slope, intercept=intercept)
        case IsotonicCalibration(scores, probabilities):
            return IsotonicCard(scores=scores, probabilities=probabilities)
    return None


def calibration_of(card: PlattCard | IsotonicCard | None) -> Calibration | None:
    """The calibration that a card describes."""
    match card:
        case PlattCard():
            return PlattCalibration(card.slope, card.intercept)
        case IsotonicCard():
            return IsotonicCalibration(card.scores, card.probabilities)
    return None


class RuleCard(Spec):
    """How a threshold was chosen; ``value`` is that of the two ``min-`` rules."""

    kind: Literal["youden", "min-sensitivity", "min-specificity"]
    value: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _value_where_needed(self) -> Self:
        if (self.value is None) != (self.kind == "youden"):
            raise ValueError("a 'min-' rule needs a value, and 'youden' takes none")
        return self

    @property
    def strictness(self) -> tuple[int, float]:
        """As :func:`lusfx.contracts.by_strictness` sorts rules; a card's value may be one that no task could ask for."""
        kinds = ("min-sensitivity", "youden", "min-specificity")
        value = self.value or 0.0
        return kinds.index(self.kind), -value if self.kind == "min-sensitivity" else value

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
    """A named threshold: the answer is yes where the probability is at least ``threshold``.

    Just above 1 it answers no always, which is what the highest specificity can take.
    """

    rule: RuleCard
    threshold: float = Field(ge=0, le=2)


class OutcomeCard(Spec):
    """One yes-or-no question of the task, with the head that answers it.

    :param decides: the operating point that decides the answer, except of a multi-class task, where the highest probability
        does (:attr:`TaskCard.decided_by`). None of a model that only orders units, which has no operating point.
    :param n_units: labelled units that the head was trained on, or recalibrated on.
    :param n_events: those of them that are yes.
    """

    name: Words
    head: HeadCard
    calibration: CalibrationCard | None
    operating_points: Mapping[Name, OperatingPointCard] = Field(max_length=MAX_NAMED)
    decides: Name | None
    n_units: int = Field(ge=1, le=MAX_UNITS)
    n_events: int = Field(ge=0)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.n_events > self.n_units:
            raise ValueError("there are more events than units")
        if self.decides is None:
            if self.operating_points or self.calibration is not None:
                raise ValueError("a score that decides nothing has neither operating points nor a calibration")
        elif self.decides not in self.operating_points:
            raise ValueError("there is no operating point to decide the answer")
        return self

    @property
    def points(self) -> dict[str, OperatingPointCard]:
        """The operating points from the least strict on, as every table and page names them; the file has them by name."""
        points = self.operating_points
        return {name: points[name] for name in sorted(points, key=lambda name: (points[name].rule.strictness, name))}

    @property
    def thresholds(self) -> dict[str, float]:
        """Their thresholds as they are stored, in the same order."""
        return {name: point.threshold for name, point in self.points.items()}

    @property
    def deciding_threshold(self) -> float:
        """The threshold that decides the answer.

        :raises TaskModelError: if none does.
        """
        if self.decides is None:
            raise TaskModelError(f"'{self.name}' has no threshold: the model only orders units")
        return self.operating_points[self.decides].threshold


class NoveltyCard(Spec):
    """How far from the training set a unit may lie and still be familiar; distances are those of ``novelty.safetensors``.

    :param limit: most held-out training units lie within it: as many as the task's ``abstain.familiar`` says, where it abstains
        beyond it, else :data:`lusfx.novelty.USUAL_SHARE`.
    """

    limit: float = Field(gt=0)


class TrainingCard(Spec):
    """What the heads were trained on, in numbers.

    :param n_units: units with at least one known label.
    :param weak_labels: whether frames had the labels of their clips.
    :param created: date and time in UTC.
    """

    n_units: int = Field(ge=1, le=MAX_UNITS)
    n_clips: int = Field(ge=1, le=MAX_UNITS)
    n_patients: int = Field(ge=1)
    weak_labels: bool
    seed: int
    lusfx_version: Words
    created: AwareDatetime

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.n_patients > self.n_clips:
            raise ValueError("there are more patients than clips")
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
    """All that a task model says of itself before its files are written.

    :param own_encoder: SHA-256 of ``encoder/encoder.json``, where the model brings its encoder along; else None, and not in
        the file.
    :param recalibrated_from: digest of the model that the heads are of, where calibration and thresholds were fitted to other
        units later; else None, and not in the file. ``training`` counts the units of both.
    :param trained_on: ``simulated`` where the heads are known to have learnt from simulated exams alone; else None, and not in
        the file.
    """

    task: TaskCard
    features: FeaturesCard
    outcomes: tuple[OutcomeCard, ...] = Field(min_length=1, max_length=MAX_OUTCOMES)
    novelty: NoveltyCard | None
    training: TrainingCard
    own_encoder: Sha256 | None = None
    recalibrated_from: Sha256 | None = None
    trained_on: Literal["simulated"] | None = None

    @property
    def orders_only(self) -> bool:
        """Whether no patient's label went into the model: its scores then order units, and are no probabilities."""
        return self.trained_on == "simulated" and self.recalibrated_from is None

    @model_validator(mode="after")
    def _answers_the_task(self) -> Self:
        if tuple(outcome.name for outcome in self.outcomes) != self.task.outcomes:
            raise ValueError("the outcomes are not those of the task")
        if self.novelty is None and self.task.abstain.familiar is not None:
            raise ValueError("a task that abstains beyond a distance has a limit of it")
        if any((outcome.decides is None) != self.orders_only for outcome in self.outcomes):
            raise ValueError("what only orders units, and nothing else, has no operating points")
        if self.orders_only and self.novelty is not None:
            raise ValueError("simulated exams do not tell which patients are familiar")
        return self


class TaskModelCard(TaskModelFacts):
    """``task_model.json``.

    :param files: every file of the directory but this one; those of an encoder are listed in its own card.
    :param card_sha256: of the canonical JSON of all the rest of the card. A threshold of which one bit has turned is a
        threshold still, and this is what tells.
    """

    format: Literal["lusfx-task-model"] = "lusfx-task-model"
    format_version: Literal[2] = 2
    files: Mapping[Name, FileCard] = Field(max_length=(MAX_HEAD_FILES + 1) * MAX_OUTCOMES)
    card_sha256: Sha256

    @model_validator(mode="after")
    def _has_its_files(self) -> Self:
        needed = {EVIDENCE_FILE, REPORT_FILE, *([NOVELTY_FILE] if self.novelty else [])}
        heads = set(self.files) - needed
        owners = Counter(head_file_owner(name) for name in heads)
        if CARD_FILE in self.files or not needed <= set(self.files) or owners.keys() != set(range(len(self.outcomes))):
            raise ValueError(f"the files must be {', '.join(sorted(needed))} and those of each head")
        if max(owners.values()) > MAX_HEAD_FILES:
            raise ValueError(f"a head has more than {MAX_HEAD_FILES} files")
        if sum(file.n_bytes for file in self.files.values()) > MAX_ALL_BYTES:
            raise ValueError(f"the files have more than {MAX_ALL_BYTES} bytes in all")
        return self


def head_file(outcome: int, name: str) -> str:
    """Name in the directory of a head's file: ``1-head.safetensors`` is of the first outcome."""
    return f"{outcome + 1}-{name}"


def head_file_owner(file_name: str) -> int | None:
    """Position of the outcome that a file belongs to; None of a file that belongs to none."""
    number, dash, name = file_name.partition("-")
    if not dash or not name or not number.isascii() or not number.isdigit() or number.startswith("0"):
        return None
    return int(number[:6]) - 1


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
    return card.model_copy(update={"card_sha256": _digest_of_the_rest(as_json(card))})


def as_json(card: TaskModelCard) -> dict[str, Any]:
    """The values of ``task_model.json``. What came to the format later is not spoken of by models that do without it."""
    values = card.model_dump(mode="json")
    if card.features.precision == "float32":
        del values["features"]["precision"]
    if card.features.fps is None:
        del values["features"]["fps"]
    if card.own_encoder is None:
        del values["own_encoder"]
    if card.recalibrated_from is None:
        del values["recalibrated_from"]
    if card.trained_on is None:
        del values["trained_on"]
    return values


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
    version = value.get("format_version")
    if value.get("format") == "lusfx-task-model" and isinstance(version, int) and version != FORMAT_VERSION:
        raise TaskModelError(
            f"the task model has format version {version}, and this lusfx reads {FORMAT_VERSION}. "
            "Train it again, into another directory, or use the lusfx that it was trained with"
        )
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
