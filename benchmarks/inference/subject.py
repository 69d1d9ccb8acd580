"""Encoders under test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lusfx.backbone import FAMILY, make_backbone
from lusfx.config import FeatureSpec, PreprocessSpec
from lusfx.contracts import EncoderRequest
from lusfx.encoders.card import EncoderCard, read_card
from lusfx.encoders.conversion import make_directory
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.engine.extraction.opening import open_encoder
from lusfx.errors import UsageError
from lusfx.plugins import Registry

SEED = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """An encoder under test, as a directory on disk.

    :param random_weights: whether nobody trained it: it computes as long as if somebody had.
    """

    name: str
    directory: Path
    card: EncoderCard
    random_weights: bool

    @property
    def fingerprint(self) -> str:
        """Of its features."""
        return FeatureSpec(encoder=self.card.identity, preprocess=self.card.preprocess).fingerprint


def open_subject(name: str, folder: Path, registry: Registry) -> Subject:
    """An encoder by its name; one of timm's gets random weights, so that nothing is downloaded.

    :param folder: where an encoder directory may be written.
    :raises UsageError: if it is not kept in a directory, so that no separate network could be made of it.
    """
    if name.startswith(FAMILY):
        return _untrained(name, folder)
    encoder = open_encoder(EncoderRequest(name, device="cpu"), registry)
    if not isinstance(encoder, DirectoryEncoder):
        raise UsageError(f"the encoder '{name}' is kept in no directory that networks could be made of")
    return Subject(name, encoder.directory, encoder.card, random_weights=False)


def _untrained(name: str, folder: Path) -> Subject:
    import torch

    architecture = name.removeprefix(FAMILY)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        network = make_backbone(architecture)
    settings = network.pretrained_cfg
    directory = folder / architecture
    make_directory(
        directory,
        name=name,
        architecture=name,
        weights={key: value.numpy() for key, value in network.state_dict().items()},
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        preprocess=PreprocessSpec(size=settings["input_size"][-1]),
        licence="none: random weights",
        training_data="none",
        source=f"timm/{architecture}, untrained",
        model_card=f"# {name}\n\nRandom weights, to be timed and nothing else.\n",
    )
    return Subject(name, directory, read_card(directory), random_weights=True)
