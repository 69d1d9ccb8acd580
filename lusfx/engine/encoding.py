"""Encoding a batch on a device that may have too little memory for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import Encoder
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.errors import EncoderMemoryError


class PatientEncoder:
    """An encoder that goes on with half the batch when the device is out of memory, and with a quarter after that.

    :param batch_size: the most frames to be given at once; it becomes smaller.
    """

    def __init__(self, encoder: Encoder, batch_size: int) -> None:
        self.encoder = encoder
        self.batch_size = batch_size

    def warm_up(self) -> None:
        """Load what the first batch needs, where the encoder can do that before."""
        if isinstance(self.encoder, DirectoryEncoder):
            self.encoder.warm_up()

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode a batch in as many parts as it takes.

        :raises EncoderMemoryError: if there is too little memory for a single frame.
        """
        parts: list[NDArray[np.float32]] = []
        start = 0
        while start < len(images):
            part = images[start : start + self.batch_size]
            try:
                parts.append(self.encoder.encode(part))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise EncoderMemoryError(
                        f"the encoder {self.encoder.name} has too little memory for a single frame. Take a smaller "
                        "encoder, or --device cpu"
                    ) from None
                self.batch_size = len(part) // 2
                continue
            start += len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an encoder failed for want of memory: lusfx's own say so by a type, a plugin's may let torch's error out."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "out of memory" in str(error))
