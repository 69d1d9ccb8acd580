"""What a plugin implements: Reader, Encoder, Head, Task, and the small values that they exchange."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lusfx.config import EncoderIdentity, PreprocessSpec
from lusfx.site_key import SiteKey
from lusfx.types import Clip

API_VERSION = 1
"""Raised when a contract changes so that old plugins break. A plugin's module states the one it was written for as
``LUSFX_API_VERSION``."""

HEAD_BYTES = 4096
"""How many leading bytes of a source a reader is shown when it is asked whether the source is its own."""


class Reader(ABC):
    """Turns one kind of source file into a :class:`~lusfx.types.Clip`."""

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    """File name endings, lower case with their dot, that this reader claims whatever the content is: a text file named
    ``.mp4`` is then reported as a damaged video and not passed over."""

    def claims_content(self, leading_bytes: bytes) -> bool:
        """Whether a file whose ending nobody claims is this reader's, judged by its first :data:`HEAD_BYTES` bytes."""
        return False

    @abstractmethod
    def open(self, path: Path, site_key: SiteKey) -> AbstractContextManager[Clip]:
        """Open a source; leaving the context frees the decoder.

        :param path: the file.
        :param site_key: makes the pseudonyms; identifiers inside the file leave the reader in no other form.
        :raises UnreadableClipError: the file is damaged, unsupported or not what it claims to be.
        :raises SkippedClipError: the file is sound but holds nothing to encode.
        """


Device = Literal["auto", "cpu", "cuda"]


class Encoder(ABC):
    """A frozen network on a runtime: prepared frames in, embeddings out."""

    name: str
    identity: EncoderIdentity
    preprocess: PreprocessSpec
    """How frames must be prepared for it, unless the caller overrides a field."""
    runtime: str
    """What computes: ``onnxruntime 1.20 cpu``, say. Provenance, not identity."""

    @abstractmethod
    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode a batch.

        :param images: ``(n, size, size)`` grey.
        :returns: ``(n, dim)``; row *i* depends on image *i* alone.
        """


@dataclass(frozen=True, slots=True)
class EncoderRequest:
    """Which encoder, from where, on what.

    :param name: as the user gave it.
    :param weights: a file that the user or a plugin named; None for the encoder's own.
    :param device: where to compute.
    :param threads: CPU threads; 0 for as many as the machine has.
    """

    name: str
    weights: Path | None = None
    device: Device = "auto"
    threads: int = 0


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """A registered encoder, or with ``family`` all those whose names begin with ``name`` and a slash."""

    name: str
    summary: str
    licence: str
    open: Callable[[EncoderRequest], Encoder]
    family: bool = False


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What a head learns from.

    :param features: ``(n, n_features)`` float32, finite.
    :param targets: ``(n,)`` class numbers from 0.
    :param groups: ``(n,)`` patient keys; whatever a head holds out for itself it holds out by patient.
    """

    features: NDArray[np.float32]
    targets: NDArray[np.int64]
    groups: NDArray[np.str_]


class HeadSettings(BaseModel):
    """Base of each head's settings; they are recorded in the task model."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Head(ABC):
    """A trained classifier on features. It is served without torch."""

    @abstractmethod
    def predict_proba(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities ``(n, n_classes)`` of features ``(n, n_features)``; each row sums to 1, whatever the others."""

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write the head's files into an existing directory; nothing that is executed on loading."""


class HeadSpec(ABC):
    """A registered kind of head: how it is trained and how it is loaded."""

    name: ClassVar[str]
    summary: ClassVar[str]
    settings: ClassVar[type[HeadSettings]]

    @abstractmethod
    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
        """Train. The same input and seed give the same head.

        :raises MissingExtraError: if training needs packages that are not installed.
        """

    @abstractmethod
    def load(self, directory: Path) -> Head:
        """Read what :meth:`Head.save` wrote, check everything, execute nothing.

        :raises TaskModelError: if a file is missing, altered or invalid.
        """


@dataclass(frozen=True, slots=True)
class Youden:
    """The threshold with the largest sensitivity + specificity - 1 (Youden 1950)."""


@dataclass(frozen=True, slots=True)
class MinSensitivity:
    """The highest threshold at which sensitivity is at least ``value``."""

    value: float


@dataclass(frozen=True, slots=True)
class MinSpecificity:
    """The lowest threshold at which specificity is at least ``value``."""

    value: float


OperatingPoint = Youden | MinSensitivity | MinSpecificity
Pooling = Literal["mean", "max", "mean+std"]


class Task:
    """A yes-or-no question about a clip, answered from its embeddings.

    Subclass it, set the class attributes, and return an instance from ``lusfx_register_tasks``. The class docstring's
    first line says what is asked.

    Example::

        class PleuralEffusion(Task):
            \"\"\"Pleural effusion, one answer a clip.\"\"\"
            name, version = "pleural-effusion", 1
            classes = ("no effusion", "effusion")
            label_column = "effusion"
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    unit: ClassVar[Literal["clip"]] = "clip"
    classes: ClassVar[tuple[str, str]] = ("no", "yes")
    """Names of class 0 and class 1; scores are the probability of class 1."""
    label_column: ClassVar[str]
    """The column of a label table that :meth:`label` reads."""
    pooling: ClassVar[Pooling] = "mean"
    """How the embeddings of a clip's frames become its features."""
    operating_points: ClassVar[Mapping[str, OperatingPoint]] = {"balanced": Youden()}
    """Named thresholds, chosen on patients that the head was not trained on."""

    def label(self, cell: str) -> int | None:
        """The class that a cell of the label column states; None where it states none.

        A blank cell is *not known* and never a negative.

        :param cell: text of the cell, stripped, not blank.
        :raises ValueError: if the cell is neither; training stops and says which row.
        """
        value = float(cell)
        if value not in (0.0, 1.0):
            raise ValueError("expected 0 or 1")
        return int(value)

    @property
    def question(self) -> str:
        """First line of the class docstring."""
        return (type(self).__doc__ or self.name).strip().splitlines()[0]


@dataclass(frozen=True, slots=True)
class Plugin:
    """What is known of one loaded or failed plugin.

    :param name: entry point or module name.
    :param distribution: the installed distribution it comes from, with its version.
    :param error: why it could not be used; None where it works.
    :param provides: ``kind: name`` of all that it registered.
    """

    name: str
    distribution: str
    error: str | None = None
    provides: tuple[str, ...] = field(default=())
