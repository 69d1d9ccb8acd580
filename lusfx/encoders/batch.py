"""What is the same for every runtime: a batch goes in, and embeddings or an error with a name come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.encoders.card import EncoderCard
from lusfx.errors import EncoderError, EncoderMemoryError

Compute = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Images ``(n, size, size)`` to embeddings ``(n, dim)``."""
OUT_OF_MEMORY = ("out of memory", "bad_alloc", "bad allocation", "allocate memory")
"""What the runtimes' messages have in common where memory is short: few have a class of exception for it."""


@dataclass(frozen=True, slots=True)
class CheckedCompute:
    """A runtime's function of images, its failures named and its answers checked.

    :param function: raises whatever the runtime raises.
    :param card: says what is to come out.
    """

    function: Compute
    card: EncoderCard

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode a batch.

        :raises EncoderMemoryError: if it is too large for the memory.
        :raises EncoderError: if it fails otherwise, or gives anything but ``(n, dim)`` float32.
        """
        try:
            embeddings = self.function(images)
        except Exception as error:  # ONNX Runtime raises its own classes, derived from Exception alone
            if isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY):
                raise EncoderMemoryError(
                    f"encoder {self.card.name}: there is too little memory for a batch of {len(images)} images"
                ) from None
            raise EncoderError(f"encoder {self.card.name} failed on a batch ({type(error).__name__})") from None
        dim = self.card.identity.dim
        if embeddings.shape != (len(images), dim) or embeddings.dtype != np.float32:
            raise EncoderError(
                f"encoder {self.card.name} gave {embeddings.dtype} {embeddings.shape}, "
                f"expected float32 ({len(images)}, {dim})"
            )
        return embeddings
