"""The probe finds networks that make something else of an image than they did, or that its company changes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.encoders.probe import Probe, probed, require_probe
from lusfx.errors import EncoderError

SIZE = 16


def alone(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.mean(axis=1, dtype=np.float32)


def among_others(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """As batch normalisation does that was exported while the network was being trained."""
    rows = alone(images)
    return rows - 0.5 * rows.mean(axis=0)


def test_an_image_alone_decides_its_embedding() -> None:
    require_probe(alone, Probe.of(probed(alone, SIZE)), SIZE, "float32", "e")
    with pytest.raises(EncoderError, match="depends on those beside it"):
        require_probe(among_others, Probe.of(probed(among_others, SIZE)), SIZE, "float32", "e")
