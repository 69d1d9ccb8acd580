"""The encoders of a study: each the initial weights of what is learnt."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lusfx.contracts import Device, Encoder, EncoderRequest
from lusfx.engine.extraction.opening import open_encoder
from lusfx.messages import short
from lusfx.networks.initial_weights import InitialWeights, choose_initial_weights
from lusfx.patience import replace
from lusfx.plugins import Registry
from lusfx.studies.config import EncoderEntry

ENCODERS = "encoders"
NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class StudyEncoder:
    """One of the study's encoders.

    :param out: the study's directory, where an encoder directory is made of an architecture's weights.
    :param seed: of random weights.
    """

    entry: EncoderEntry
    out: Path
    registry: Registry
    seed: int
    device: Device = "auto"
    threads: int = 0

    @property
    def is_made(self) -> bool:
        """Whether its features can be computed without converting anything first."""
        return self.entry.architecture is None or self._directory.is_dir()

    def open(self) -> Encoder:
        """The frozen encoder; of an architecture with its weights a directory is made first.

        :raises UsageError: if there is no such encoder or architecture.
        :raises MissingExtraError: if an architecture is to be converted without the extra ``timm``.
        """
        return open_encoder(EncoderRequest(self.name, None, self.device, self.threads), self.registry)

    @property
    def name(self) -> str:
        """What :func:`lusfx.engine.extraction.opening.open_encoder` takes."""
        if self.entry.encoder is None:
            if not self._directory.is_dir():
                self._convert()
            return str(self._directory)
        return self.entry.encoder

    def initial_weights(self) -> InitialWeights:
        """What every network that is fine-tuned starts from; each draws random weights of its own."""
        entry = self.entry
        encoder = None if entry.encoder is None else self.name
        return choose_initial_weights(
            encoder, entry.architecture, entry.weights, entry.size, self.registry, layer=entry.layer
        )

    @property
    def _directory(self) -> Path:
        entry = self.entry
        said: list[Any] = [entry.architecture, entry.layer, entry.size, self.seed]
        if entry.weights is not None:
            said.append(hashlib.sha256(entry.weights.read_bytes()).hexdigest() if entry.weights.is_file() else None)
        return self.out / ENCODERS / short(hashlib.sha256(repr(said).encode()).hexdigest())

    def _convert(self) -> None:
        from lusfx.encoders.conversion import make_directory

        initial_weights = self.initial_weights()
        network = initial_weights.network.backbone(self.seed)
        self._directory.parent.mkdir(parents=True, exist_ok=True)
        made = self._directory.with_name(f"{self._directory.name}.new")
        shutil.rmtree(made, ignore_errors=True)
        make_directory(
            made,
            name=self.entry.name,
            architecture=f"timm/{initial_weights.network.architecture}",
            layer=initial_weights.network.layer,
            weights=network.backbone_weights(),
            mean=network.mean,
            std=network.std,
            preprocess=initial_weights.preprocess,
            licence=initial_weights.licence or NOT_STATED,
            training_data=initial_weights.origin if initial_weights.random else NOT_STATED,
            source=f"lusfx study, of {initial_weights.origin}",
            model_card=f"# {self.entry.name}\n\nMade by `lusfx study`. Begun with {initial_weights.origin}.\n",
        )
        replace(made, self._directory)
