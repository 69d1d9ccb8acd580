"""The probe: one image that is the same everywhere, and what an encoder made of it when its directory was written.

A run encodes it once, before any frame. So a directory whose parts do not belong together, or a runtime that computes it
otherwise, ends the run and gives no clip another value.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lusfx.config import Precision
from lusfx.errors import EncoderError

LIMITS: Final[dict[Precision, float]] = {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.5}
"""How far the probe's embedding may be from the card's, as a part of its largest value. In float32 runtimes and processors
differ by some 1e-5; in fewer bits by what docs/encoders.md says of frames."""


class Probe(BaseModel):
    """What a card says of the probe.

    :param image: which image: that of :func:`probe_image`.
    :param embedding: base64 of little-endian float32, one number a value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: Literal[1] = 1
    embedding: str

    @classmethod
    def of(cls, embedding: NDArray[np.float32]) -> Self:
        """Write down an embedding ``(dim,)``."""
        return cls(embedding=base64.b64encode(embedding.astype("<f4").tobytes()).decode("ascii"))

    def values(self) -> NDArray[np.float32] | None:
        """The embedding ``(dim,)``; None where the text is none, or has a value that is not finite."""
        try:
            values = np.frombuffer(base64.b64decode(self.embedding, validate=True), "<f4").astype(np.float32)
        except (binascii.Error, ValueError):
            return None
        return values if np.isfinite(values).all() else None


def probe_image(size: int) -> NDArray[np.uint8]:
    """A ramp with noise, ``(size, size)``: of whole numbers alone, so that no library's version changes it."""
    y, x = np.mgrid[:size, :size].astype(np.uint64)
    mixed = (y * np.uint64(1024) + x + np.uint64(1)) * np.uint64(2654435761) % np.uint64(1 << 32)
    ramp = (x + y) * np.uint64(127) // np.uint64(2 * size)
    image: NDArray[np.uint8] = (ramp + mixed // np.uint64(1 << 25)).astype(np.uint8)
    return image


def probed(compute: Callable[[NDArray[np.uint8]], NDArray[np.float32]], size: int) -> NDArray[np.float32]:
    """What a network makes of the probe, ``(dim,)``."""
    embedding: NDArray[np.float32] = compute(probe_image(size)[None])[0]
    return embedding


def difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The largest difference as a part of the largest value that was expected; NaN where one is not finite."""
    largest = float(np.abs(expected).max()) or 1.0
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.abs(found - expected).max()) / largest


def require_probe(
    compute: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    probe: Probe | None,
    size: int,
    precision: Precision,
    name: str,
) -> None:
    """Compare what a network makes of the probe with what its card says. Cards of before have none.

    :param name: of the encoder, for the message.
    It is encoded beside another image: a network whose rows depend on each other, as those of one that was exported while it
    was being trained do, gives every clip other values by chance.

    :raises EncoderError: if it is another embedding.
    """
    expected = None if probe is None else probe.values()
    if expected is None:
        return
    image = probe_image(size)
    found = difference(compute(np.stack([image, 255 - image]))[0], expected)
    if not found <= LIMITS[precision]:
        raise EncoderError(
            f"encoder {name} does not compute what its card says: of the probe image it makes another embedding (difference "
            f"{found:.2g} of the largest value, in {precision} at most {LIMITS[precision]:g}). Its files do not belong "
            "together, an image's embedding depends on those beside it, or the runtime is at fault: take the directory anew "
            "from where it was made, or try another --runtime"
        )
