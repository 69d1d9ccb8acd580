"""Encoder: the frozen network that turns prepared frames into embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lusfx.config import EncoderIdentity, FeatureSpec, Precision, PreprocessSpec

Device = Literal["auto", "cpu", "cuda"]
Runtime = Literal["auto", "onnxruntime", "openvino", "torch"]


class Encoder(ABC):
    """A frozen network on a runtime: prepared frames in, embeddings out."""

    name: str
    identity: EncoderIdentity
    preprocess: PreprocessSpec
    """How frames must be prepared for it, unless the caller overrides a field."""
    precision: Precision = "float32"
    """What it computes in: part of the fingerprint."""
    runtime: str
    """What computes: ``onnxruntime 1.20 cpu``, say. Provenance, not identity."""
    training_sets: tuple[str, ...] = ()
    """Names of the data sets that it has seen, as far as they are known: runs put them on record."""
    streams: int = 1
    """How many threads may call :meth:`encode` at the same time, each with a batch of its own."""

    @abstractmethod
    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode a batch.

        :param images: ``(n, size, size)`` grey.
        :returns: ``(n, dim)`` float32; row *i* depends on image *i* alone. A row that is not finite costs its clip
            (``not-finite``); any other type or shape, or an exception, ends the run.
        """

    def warm_up(self) -> None:  # noqa: B027 - most encoders have nothing to do here
        """Load what the first batch would have to load. A run calls it once while the first clip is being decoded.

        :meth:`encode` must work without it, since other callers do not.
        """

    @property
    def feature_spec(self) -> FeatureSpec:
        """Everything that decides the value of its embeddings."""
        return FeatureSpec(encoder=self.identity, preprocess=self.preprocess, precision=self.precision)


@dataclass(frozen=True, slots=True)
class EncoderRequest:
    """Which encoder, from where, on what.

    :param name: as the user gave it.
    :param weights: a file that the user or a plugin named; None for the encoder's own.
    :param device: where to compute.
    :param threads: CPU threads; 0 for as many as the machine has.
    :param precision: what to compute in. An encoder that has but one ignores this, and says which in ``precision``.
    :param runtime: what computes, where the encoder has a choice; ``auto`` for the best one on this machine.
    :param download: whether weights may be fetched from elsewhere; without, an encoder that is not on this machine is refused.
    """

    name: str
    weights: Path | None = None
    device: Device = "auto"
    threads: int = 0
    precision: Precision = "float32"
    runtime: Runtime = "auto"
    download: bool = True


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """A registered encoder, or with ``family`` all those whose names begin with ``name`` and a slash."""

    name: str
    summary: str
    licence: str
    open: Callable[[EncoderRequest], Encoder]
    family: bool = False
