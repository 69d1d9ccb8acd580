"""Encoders: feature spec -> frozen network on the best runtime of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lusfx.hookspecs import hookimpl

if TYPE_CHECKING:
    from lusfx.contracts import Encoder, EncoderRequest, EncoderSpec

DEFAULT_ENCODER = "lung-lite0"
IMAGENET_ENCODER = "efficientnet-lite0"
BUNDLED = Path(__file__).parent / "bundled"


def open_directory(directory: Path, request: EncoderRequest) -> Encoder:
    """Open an encoder directory.

    :raises EncoderError: if it is none, or was altered.
    """
    from lusfx.encoders import directory as directories

    return directories.open_directory(directory, request)


def _open_bundled(request: EncoderRequest) -> Encoder:
    return open_directory(BUNDLED / request.name, request)


def _open_timm(request: EncoderRequest) -> Encoder:
    from lusfx.encoders.timm_family import open_timm

    return open_timm(request)


@hookimpl
def lusfx_register_encoders() -> Sequence[EncoderSpec]:
    from lusfx.contracts import EncoderSpec

    return [
        EncoderSpec(
            DEFAULT_ENCODER,
            "EfficientNet-Lite0 trained on simulated lung ultrasound; bundled, 320 values a frame",
            "Apache-2.0",
            _open_bundled,
        ),
        EncoderSpec(
            IMAGENET_ENCODER,
            "EfficientNet-Lite0 trained on ImageNet-1k; bundled, 1280 values a frame",
            "Apache-2.0",
            _open_bundled,
        ),
        EncoderSpec(
            "timm",
            "a timm backbone, by timm/NAME (extra 'timm'; docs/encoders.md says which)",
            "the model's own",
            _open_timm,
            family=True,
        ),
    ]
