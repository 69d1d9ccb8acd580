"""Settings that several parts share, above all the feature spec: everything that decides an embedding's value.

The SHA-256 of a feature spec's canonical JSON is its *fingerprint*. Two embeddings with one fingerprint may be
compared; two with different ones may not. Library versions, device, runtime, batch size and host stay out: they are
provenance.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from lusfx.errors import UsageError

Precision = Literal["float32", "bfloat16", "float16"]
"""What a network computes in; embeddings are float32 numbers either way. float32 is the same on every runtime to 1e-4. The
others are not: what they round, and when, is the runtime's choice. So each is of one runtime: bfloat16 of OpenVINO, float16 of
torch."""


Pooled = Literal["mean", "none", "tokens-mean", "class-token"]
"""How an encoder's activations become one vector: the mean over both axes of a map; nothing, where the graph does it; the mean
of a transformer's patch tokens; its class token."""

PREPROCESS_VERSION: Final = 2
"""How this version of lusfx reads and prepares frames."""

MAX_FPS: Final = 1000.0
FramesPerSecond = Annotated[float, Field(gt=0, le=MAX_FPS)]
"""How many frames of a second are encoded; no cine has more than the most."""


class Spec(BaseModel):
    """A frozen part of a feature spec; an unknown field is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _without_absent(values: dict[str, Any], name: str) -> dict[str, Any]:
    """What a part serialises to, without a field that is None."""
    return {key: value for key, value in values.items() if key != name or value is not None}


class PreprocessSpec(Spec):
    """How a clip's frames become what the encoder sees.

    :param version: raised whenever the code of readers or preprocessing changes any pixel that an encoder is given. 1 is what
        caches of before hold; frames are prepared by 2.
    :param colour: how a colour frame becomes grey; ``luma-601`` is 0.299 R + 0.587 G + 0.114 B on full-range values.
    :param beam: ``detect`` finds the insonated region and blanks the rest; ``off`` keeps the whole frame (or the B-mode
        region that a DICOM file declares).
    :param beam_frames: of a clip that is too large to be held, at most so many frames are looked at to find the beam, evenly
        spread.
    :param beam_min_confidence: the probability that the beam is right, below which its bounding box is used instead of its mask
        and the clip is not assessable.
    :param crop: ``beam`` cuts to the beam's bounding box; ``none`` keeps the frame.
    :param pad: ``square`` pads the crop with black to a square, centred, so that nothing is squashed.
    :param size: side of the encoder's input in pixels.
    :param resample: Pillow filter, antialiased when shrinking.
    :param stride: every how many frames one is encoded.
    :param fps: how many frames of each second are encoded at most, by their times (see
        :class:`~lusfx.preprocess.sampling.FrameSampler`), of those that the stride leaves. None for all, and then not in the
        JSON either: the fingerprints of before this field stay what they are.
    """

    version: Literal[1, 2] = PREPROCESS_VERSION
    colour: Literal["luma-601"] = "luma-601"
    beam: Literal["detect", "off"] = "detect"
    beam_frames: int = Field(default=32, ge=1, le=256)
    beam_min_confidence: float = Field(default=0.5, ge=0, le=1)
    crop: Literal["beam", "none"] = "beam"
    pad: Literal["square"] = "square"
    size: int = Field(default=224, ge=16, le=1024)
    resample: Literal["bilinear", "box", "bicubic"] = "bilinear"
    stride: int = Field(default=1, ge=1)
    fps: FramesPerSecond | None = None

    @model_serializer(mode="wrap")
    def _without_absent_fps(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_absent(serialise(self), "fps")

    def as_prepared_by(self, version: Literal[1, 2] = PREPROCESS_VERSION) -> Self:
        """The same settings, carried out by a version of the preprocessing; by default the one that this lusfx has."""
        return self.model_copy(update={"version": version})


class EncoderIdentity(Spec):
    """The part of an encoder that decides an embedding's value.

    :param architecture: its name, ``timm/efficientnet_lite0`` say; ``onnx`` for a graph of unknown origin.
    :param weights_sha256: digest over every weight tensor: name, dtype, shape and bytes, in order of name.
    :param graph_sha256: digest of ``encoder.onnx``; None for what timm makes of the weights, as directories of before say it.
    :param layer: which activations are taken; ``global-pool`` for the network's own end.
    :param pooling: how the spatial axes of those activations are reduced.
    :param input_size: side of the images in pixels that the network was made for, where that is not the architecture's own
        and its weights depend on it. None for its own, and then not in the JSON either: the fingerprints of before this field
        stay what they are.
    :param dim: length of an embedding.
    :param channels: channels that the grey frame is repeated to.
    :param mean: subtracted from grey / 255, a channel.
    :param std: divisor after that, a channel.
    """

    architecture: str
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    graph_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    layer: str
    pooling: Pooled
    input_size: int | None = Field(default=None, ge=16, le=1024)
    dim: int = Field(ge=1, le=1 << 16)
    channels: Literal[1, 3]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @model_serializer(mode="wrap")
    def _without_absent_size(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_absent(serialise(self), "input_size")


class FeatureSpec(Spec):
    """Everything that decides an embedding's value.

    :param precision: what the network computes in. Fewer bits than float32 move embeddings by up to several percent, so
        features of two precisions never mix.
    :param stored_dtype: what the cache keeps where every value fits.
    """

    schema_version: Literal[1] = 1
    encoder: EncoderIdentity
    preprocess: PreprocessSpec
    precision: Precision = "float32"
    stored_dtype: Literal["float16", "float32"] = "float16"

    def as_prepared_by(self, version: Literal[1, 2]) -> Self:
        """The same features of frames that a version of the preprocessing prepared."""
        return self.model_copy(update={"preprocess": self.preprocess.as_prepared_by(version)})

    def sampled(self, fps: float | None) -> Self:
        """The same features of so many frames a second; None for those that the encoder takes of itself.

        :raises UsageError: if a clip cannot have so many.
        """
        if fps is None:
            return self
        if not 0 < fps <= MAX_FPS:
            raise UsageError(f"frames a second are more than 0 and at most {MAX_FPS:g}")
        return self.model_copy(update={"preprocess": self.preprocess.model_copy(update={"fps": float(fps)})})

    def canonical_json(self) -> str:
        """One text for one spec: keys sorted, no spaces, ASCII."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        return hashlib.sha256(self.canonical_json().encode("ascii")).hexdigest()


def canonical_json(value: Mapping[str, Any]) -> str:
    """Serialise so that equal values give equal bytes: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def user_directory() -> Path:
    """Where this user's site key and converted encoders live: ``$LUSFX_HOME``, or ``~/.lusfx``."""
    named = os.environ.get("LUSFX_HOME")
    return Path(named) if named else Path.home() / ".lusfx"
