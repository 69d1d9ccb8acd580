"""What a study compares: a TOML or JSON file, checked whole before anything is done."""

from __future__ import annotations

import json
import os
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, model_validator

from lusfx.config import FramesPerSecond, Spec
from lusfx.contracts import Pooling
from lusfx.errors import UsageError
from lusfx.messages import plain_problem, system_reason

LOCAL = "local"
"""The test set that cross-validation of the training table stands in for where a task names none of this name."""
TRAIN = "train"
MEAN = "mean over tasks"
CHOSEN = "chosen"
"""Stands for the encoder where a procedure has chosen it."""
SUFFIXES = (".toml", ".json")

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 .,+()_-]{0,59}$")]
"""Of what is compared, as tables show it."""
Fraction = Annotated[float, Field(gt=0, le=1)]
Scalar = str | bool | int | float


def _beside(path: Path, info: ValidationInfo) -> Path:
    """A path that is relative is so to the config file's folder."""
    base = (info.context or {}).get("base")
    return path if base is None else Path(os.path.normpath(Path(base) / path))


def _encoder_beside(encoder: str | None, info: ValidationInfo) -> str | None:
    """A directory beside the config file, or else a name."""
    if encoder is None:
        return None
    beside = _beside(Path(encoder), info)
    return str(beside) if beside.is_dir() else encoder


NearbyPath = Annotated[Path, AfterValidator(_beside)]


class TaskEntry(Spec):
    """A question that is asked of every encoder in every way."""

    task: str = Field(description="Name of a plugin's task.")
    name: Name | None = Field(default=None, description="What tables call it; by default the task and its outcome.")
    outcome: str | None = Field(default=None, description="Which of the task's outcomes, where it has several.")
    train: NearbyPath | None = Field(default=None, description="Label table to train on, in place of the study's.")
    tests: Mapping[Name, NearbyPath] | None = Field(
        default=None, description="Label tables of other patients to test on, by name, in place of the study's."
    )


class EncoderEntry(Spec):
    """Initial weights: an encoder, or an architecture with the weights of a file or random ones."""

    name: Name = Field(description="What tables call it.")
    encoder: Annotated[str | None, AfterValidator(_encoder_beside)] = Field(
        default=None, description="An encoder's name or directory, as for `lusfx extract`."
    )
    architecture: str | None = Field(default=None, description="timm's name of a backbone, in place of `encoder`.")
    layer: str | None = Field(default=None, description="Layer of the architecture; the whole network if left out.")
    weights: NearbyPath | None = Field(
        default=None, description="Safetensors file of the architecture's weights; random ones if there is none."
    )
    size: int | None = Field(
        default=None, ge=32, le=1024, description="Side of an architecture's frames in pixels; 128 if it is not said."
    )
    fps: FramesPerSecond | None = Field(
        default=None,
        description=(
            "Frames of each second that heads are given features of, as by `lusfx extract --fps`; all if left out. "
            "Fine-tuning takes its `frames_per_clip`, whatever this says."
        ),
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.encoder is None) == (self.architecture is None):
            raise ValueError("name an encoder or an architecture, one of the two")
        if self.encoder is not None and any(value is not None for value in (self.layer, self.weights, self.size)):
            raise ValueError("layer, weights and size go with an architecture")
        return self


class WayEntry(Spec):
    """What ways of learning a task have in common. Each limit may be left out; it is then the study's."""

    name: Name = Field(description="What tables call it.")
    encoders: tuple[Name, ...] | None = Field(
        default=None, description="The encoders that it is done with; all if left out."
    )
    fractions: tuple[Fraction, ...] | None = Field(default=None, description="The label fractions that it is done for.")
    draws: int | None = Field(
        default=None, ge=1, description="Draws of each fraction below 1, no more than the study's."
    )
    repeats: int | None = Field(
        default=None, ge=1, description="Repeats of a cross-validation, no more than the study's."
    )


class HeadWay(WayEntry):
    """A head on frozen features."""

    kind: Literal["head"]
    head: str = Field(default="logistic", description="Kind of head; `lusfx heads` lists them.")
    settings: Mapping[str, Scalar] = Field(
        default={}, description="The head's settings that are not to have their defaults."
    )
    pooling: Pooling | None = Field(default=None, description="How frames become features, if not as the task says.")


class FineTuneWay(WayEntry):
    """The encoder and a linear layer on it, trained together for each task."""

    kind: Literal["fine-tune"]
    settings: Mapping[str, Scalar] = Field(
        default={}, description="Settings of `lusfx fine-tune` (epochs, lr, ...) that are not to have their defaults."
    )
    frames_per_clip: int = Field(default=32, ge=1, description="Frames kept of a clip, evenly spaced.")


Way = Annotated[HeadWay | FineTuneWay, Field(discriminator="kind")]


class Baseline(Spec):
    """What all others are compared with."""

    encoder: Name = Field(description="One of the encoders.")
    way: Name = Field(description="One of the ways.")


class Choice(Spec):
    """An encoder with a way is chosen within each training side, among several."""

    name: Name = Field(default="chosen by inner folds", description="The way that tables call it; no other's name.")
    encoders: tuple[Name, ...] | None = Field(
        default=None, min_length=1, description="The encoders that are candidates; all if left out."
    )
    ways: tuple[Name, ...] | None = Field(
        default=None, min_length=1, description="The ways that are candidates, heads only; all heads if left out."
    )
    fractions: tuple[Fraction, ...] | None = Field(
        default=None,
        min_length=1,
        description="The label fractions that it is done for; those of all its ways if left out.",
    )
    folds: int = Field(
        default=5, ge=2, le=50, description="Inner folds of a training side, by patient; fewer where patients are few."
    )


class StudyConfig(Spec):
    """A study."""

    train: NearbyPath | None = Field(default=None, description="Label table to train on, of tasks that name none.")
    tests: Mapping[Name, NearbyPath] = Field(
        default={},
        description=(
            "Label tables of other patients to test on, by name, of tasks that name none. Without one called `local`, the "
            "training table is cross-validated for it."
        ),
    )
    tasks: tuple[TaskEntry, ...] = Field(min_length=1, description="What is asked.")
    encoders: tuple[EncoderEntry, ...] = Field(min_length=1, description="Initial weights.")
    ways: tuple[Way, ...] = Field(min_length=1, description="How a task is learnt.")
    baseline: Baseline = Field(description="What all others are compared with.")
    choice: Choice | None = Field(
        default=None, description="What is chosen within each training side; nothing if left out."
    )
    fractions: tuple[Fraction, ...] = Field(
        default=(1.0, 0.1, 0.01), min_length=1, description="Shares of the training patients whose labels are used."
    )
    draws: int = Field(default=20, ge=1, le=1000, description="Draws of patients for each fraction below 1.")
    min_patients: int = Field(default=2, ge=1, description="Patients of either answer that a draw has at least.")
    folds: int = Field(default=5, ge=2, le=50, description="Folds of a cross-validation, by patient.")
    repeats: int = Field(default=5, ge=1, le=100, description="Cross-validations with other folds.")
    resamples: int = Field(default=2000, ge=10, le=100_000, description="Patient-bootstrap resamples of an interval.")
    seed: int = Field(default=0, ge=0, lt=1 << 31, description="Seed of everything random.")
    trust_table: bool = Field(
        default=False, description="Believe the label tables' patients where the files themselves say otherwise."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what, names in (
            ("encoders", [entry.name for entry in self.encoders]),
            ("ways", [way.name for way in self.ways]),
            ("fractions", self.fractions),
        ):
            _distinct(what, names)
        for way in self.ways:
            _known(f"way '{way.name}', encoders", way.encoders or (), [entry.name for entry in self.encoders])
            _known(f"way '{way.name}', fractions", way.fractions or (), self.fractions)
        _known("baseline, encoder", [self.baseline.encoder], [entry.name for entry in self.encoders])
        _known("baseline, way", [self.baseline.way], [way.name for way in self.ways])
        way = next(way for way in self.ways if way.name == self.baseline.way)
        if way.encoders is not None and self.baseline.encoder not in way.encoders:
            raise ValueError(f"baseline: way '{way.name}' is not done with encoder '{self.baseline.encoder}'")
        for entry in self.tasks:
            if (entry.train or self.train) is None:
                raise ValueError(f"task '{entry.task}' has no table to train on: name one, or one for the whole study")
            if TRAIN in (self.tests if entry.tests is None else entry.tests):
                raise ValueError(f"a test set cannot be called '{TRAIN}'")
        if self.choice is not None:
            self._check_choice(self.choice)
        return self

    def _check_choice(self, choice: Choice) -> None:
        encoders, ways = [entry.name for entry in self.encoders], [way.name for way in self.ways]
        _known("choice, encoders", choice.encoders or (), encoders)
        _known("choice, ways", choice.ways or (), ways)
        _known("choice, fractions", choice.fractions or (), self.fractions)
        for what, names in (("encoders", choice.encoders), ("ways", choice.ways), ("fractions", choice.fractions)):
            _distinct(f"choice, {what}", names or ())
        if choice.name in ways:
            raise ValueError(f"choice: its name '{choice.name}' is that of a way; give it another")
        for way in self.candidate_ways:
            if way.kind != "head":
                raise ValueError(
                    f"choice, ways: '{way.name}' trains networks, and a choice would train as many again for each inner "
                    "fold. Only heads can be chosen"
                )
            _known(f"choice, way '{way.name}', fractions", choice.fractions or (), self.fractions_of(way))
        if not self.candidates:
            raise ValueError("choice: none of its ways is a head that is done with any of its encoders")
        if not self.choice_fractions:
            raise ValueError("choice: its ways have no label fraction in common")

    def encoders_of(self, way: WayEntry) -> list[EncoderEntry]:
        """The encoders that a way is done with, in the study's order."""
        return [entry for entry in self.encoders if way.encoders is None or entry.name in way.encoders]

    def fractions_of(self, way: WayEntry) -> tuple[float, ...]:
        """The label fractions that a way is done for."""
        return self.fractions if way.fractions is None else way.fractions

    @property
    def candidate_ways(self) -> list[HeadWay | FineTuneWay]:
        """The ways that a choice is among, in its order or else the study's; none without a choice."""
        if self.choice is None:
            return []
        names = self.choice.ways or [way.name for way in self.ways if way.kind == "head"]
        return [way for name in names for way in self.ways if way.name == name]

    @property
    def candidates(self) -> list[tuple[str, str]]:
        """Encoders with ways that a choice is among, the first encoder's first; none without a choice."""
        if self.choice is None:
            return []
        encoders = self.choice.encoders or [entry.name for entry in self.encoders]
        ways = self.candidate_ways
        return [(name, way.name) for name in encoders for way in ways if way.encoders is None or name in way.encoders]

    @property
    def choice_fractions(self) -> list[float]:
        """The label fractions that a choice is done for: those that all its ways have."""
        if self.choice is None:
            return []
        wanted = self.choice.fractions or self.fractions
        return [
            fraction for fraction in wanted if all(fraction in self.fractions_of(way) for way in self.candidate_ways)
        ]


def read_config(path: Path) -> StudyConfig:
    """Read and check a study's file. Paths in it are relative to its folder.

    :raises UsageError: if it cannot be read, or naming the first entry that makes no sense.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"a study's file name ends in {' or '.join(SUFFIXES)}, not '{path.suffix}'")
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as error:
        raise UsageError(f"the study's file cannot be read: {system_reason(error)}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the study's file is no {path.suffix[1:].upper()}: {error}") from None
    return checked_config(values, path.resolve().parent)


def checked_config(values: Any, base: Path) -> StudyConfig:
    """Check a study.

    :param values: as read from a file.
    :param base: what relative paths are relative to.
    :raises UsageError: naming the first entry that makes no sense.
    """
    try:
        return StudyConfig.model_validate(values, context={"base": base})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
        raise UsageError(f"the study's file{f', {place}' if place else ''}: {plain_problem(first)}") from None


def _distinct(what: str, names: Iterable[object]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{what}: '{twice[0]}' stands twice")


def _known(what: str, named: Iterable[object], known: Iterable[object]) -> None:
    there = list(known)
    for name in named:
        if name not in there:
            raise ValueError(f"{what}: there is no '{name}'; there are {', '.join(map(str, there))}")
