"""Head: a compact classifier of one yes-or-no question, and how it is trained, kept and loaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True, slots=True)
class Bags:
    """Rows that belong together: the frames of a clip, or of all clips of an exam.

    :param rows: ``(n_rows, n_features)``, the bags one after the other.
    :param starts: ``(n_bags + 1,)``; bag *i* is ``rows[starts[i]:starts[i + 1]]``, and none is empty.
    """

    rows: NDArray[np.floating]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, bags: Sequence[NDArray[np.floating]]) -> Self:
        """Lay bags of shape ``(n_rows, n_features)`` end to end."""
        return cls(np.concatenate(bags), np.cumsum([0, *(len(bag) for bag in bags)]))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, bag: int) -> NDArray[np.floating]:
        return self.rows[self.starts[bag] : self.starts[bag + 1]]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Rows of each bag, ``(n_bags,)``."""
        return np.diff(self.starts)

    def take(self, bags: NDArray[np.intp]) -> Self:
        """The named bags, in the order given."""
        sizes = self.sizes[bags]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        offset_in_bag = np.arange(starts[-1]) - np.repeat(starts[:-1], sizes)
        return type(self)(self.rows[np.repeat(self.starts[:-1][bags], sizes) + offset_in_bag], starts)


Features = NDArray[np.float32] | Bags
"""What a head is given: a vector a unit, ``(n, n_features)``, or the rows of each unit as a bag."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What a head learns from.

    :param features: vectors ``(n, n_features)`` float32, finite, or ``n`` bags, as :attr:`HeadSpec.takes` says.
    :param targets: ``(n,)`` 0 or 1.
    :param groups: ``(n,)`` patient keys; whatever a head holds out for itself it holds out by patient.
    :param weights: ``(n,)`` how much each row counts, above 0; None where all count alike. The frames of a clip share
        the weight of one, so that a long clip does not outweigh a short one.
    """

    features: Features
    targets: NDArray[np.int64]
    groups: NDArray[np.str_]
    weights: NDArray[np.float64] | None = None


class HeadSettings(BaseModel):
    """Base of each head's settings; they are recorded in the task model."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def head_in_words(name: str, settings: HeadSettings) -> str:
    """A head with those of its settings that do not have their defaults: ``mlp hidden=8``."""
    changed = settings.model_dump(mode="json", exclude_defaults=True)
    return " ".join([name, *(f"{key}={value}" for key, value in changed.items())])


class Head(ABC):
    """A trained classifier of one yes-or-no question. It is served without torch.

    A task with several classes or labels has one head a question (see :attr:`lusfx.contracts.Task.outcomes`).
    """

    @abstractmethod
    def predict_proba(self, features: Features) -> NDArray[np.float64]:
        """Probabilities ``(n, 2)`` of no and yes; each row sums to 1 and depends on its own features alone.

        :param features: as in training; they are not changed.
        """

    @abstractmethod
    def files(self) -> Mapping[str, bytes]:
        """The head as files by name, ``head.safetensors`` say; nothing in them is executed on loading."""


class HeadSpec(ABC):
    """A registered kind of head: how it is trained and how it is loaded."""

    name: ClassVar[str]
    summary: ClassVar[str]
    settings: ClassVar[type[HeadSettings]]
    takes: ClassVar[Literal["vectors", "bags"]] = "vectors"
    """``bags`` for a head that weighs the frames itself (attention); tasks then give it frames and do not pool them."""
    search: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Settings that ``train-task --search`` tries beside the default ones."""

    @abstractmethod
    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
        """Train. The same input and seed give the same head; the training set is not changed.

        :raises MissingExtraError: if training needs packages that are not installed.
        :raises TrainingRefusedError: if the rows cannot be learnt from.
        """

    @abstractmethod
    def load(self, files: Mapping[str, bytes]) -> Head:
        """Read what :meth:`Head.files` gave, check everything, execute nothing.

        :raises TaskModelError: if a file is missing, altered or invalid.
        """
