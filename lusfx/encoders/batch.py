"""What is the same for every runtime: a batch goes in, and embeddings or an error with a name come out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.encoders.card import EncoderCard
from lusfx.errors import EncoderError, EncoderMemoryError, LusfxError

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
        return checked(embeddings, len(images), self.card.identity.dim, self.card.name)


def checked(embeddings: object, n_images: int, dim: int, name: str) -> NDArray[np.float32]:
    """What an encoder gave for a batch, if it is what it must be. That values are finite is asked of each clip.

    :param name: the encoder's.
    :raises EncoderError: if it is anything but ``(n_images, dim)`` float32.
    """
    expected = f"expected float32 ({n_images}, {dim})"
    if not isinstance(embeddings, np.ndarray):
        raise EncoderError(f"encoder {name} gave {type(embeddings).__name__}, {expected}")
    if embeddings.shape != (n_images, dim) or embeddings.dtype != np.float32:
        raise EncoderError(f"encoder {name} gave {embeddings.dtype} {embeddings.shape}, {expected}")
    return embeddings


@contextmanager
def named_failure(name: str, when: str) -> Iterator[None]:
    """Whatever an encoder raises, ``SystemExit`` included, becomes an :class:`EncoderError`. It may quote anything, so its type
    must do.

    :param name: the encoder's.
    """
    try:
        yield
    except LusfxError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise  # somebody pressed Ctrl-C
        raise EncoderError(f"encoder {name} failed {when} ({type(error).__name__})") from None
