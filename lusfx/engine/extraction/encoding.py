"""Encoding batches: as many at the same time as the encoder takes, on a device that may have too little memory for them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import Encoder
from lusfx.engine.extraction.clip_in_hand import Batch
from lusfx.errors import EncoderMemoryError


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch and what came out of it.

    :param embeddings: ``(n, dim)``.
    :param seconds: that it took.
    """

    batch: Batch
    embeddings: NDArray[np.float32]
    seconds: float


class EncodingStreams:
    """Threads that encode batches beside one another, and give them back in their order.

    :param batch_size: the most frames to be given to the encoder at once.
    :param wake: called, on any thread, when a batch is done.
    """

    def __init__(self, encoder: Encoder, batch_size: int, wake: Callable[[], None]) -> None:
        self._encoder = PatientEncoder(encoder, batch_size)
        self._n_streams = encoder.streams
        self._wake = wake
        self._threads = ThreadPoolExecutor(encoder.streams, thread_name_prefix="lusfx-encode")
        self._in_hand: deque[tuple[Batch, Future[tuple[NDArray[np.float32], float]]]] = deque()

    @property
    def batch_size(self) -> int:
        """Frames that the encoder is given at once: fewer than asked for where it ran out of memory."""
        return self._encoder.batch_size

    @property
    def hungry(self) -> bool:
        """Whether a thread has nothing to encode."""
        return len(self._in_hand) < self._n_streams

    def warm_up(self) -> None:
        """Load what the first batch needs, on a thread that encodes."""
        self._threads.submit(self._encoder.encoder.warm_up).result()

    def begin(self, batch: Batch) -> Iterator[Encoded]:
        """Have a batch encoded.

        :returns: others, where there were too many in hand: the oldest is waited for.
        """
        encoding = self._threads.submit(self._encode, batch)
        self._in_hand.append((batch, encoding))
        encoding.add_done_callback(lambda _: self._wake())
        while len(self._in_hand) > self._n_streams + 1:  # one waits, so that no thread does
            yield self._oldest()

    def done(self) -> Iterator[Encoded]:
        """Batches that are done, up to the first that is not.

        :raises EncoderError: if the encoder failed on one.
        """
        while self._in_hand and self._in_hand[0][1].done():
            yield self._oldest()

    def rest(self) -> Iterator[Encoded]:
        """All that are still in hand."""
        while self._in_hand:
            yield self._oldest()

    def close(self) -> None:
        """Drop the batches that no thread has begun, and wait for the others."""
        self._threads.shutdown(cancel_futures=True)

    def _oldest(self) -> Encoded:
        batch, encoding = self._in_hand.popleft()
        return Encoded(batch, *encoding.result())

    def _encode(self, batch: Batch) -> tuple[NDArray[np.float32], float]:
        started = time.perf_counter()
        embeddings = self._encoder.encode(batch.images)
        return embeddings, time.perf_counter() - started


class PatientEncoder:
    """An encoder that goes on with half the batch when the device is out of memory, and with a quarter after that.

    :param batch_size: the most frames to be given at once; it becomes smaller.
    """

    def __init__(self, encoder: Encoder, batch_size: int) -> None:
        self.encoder = encoder
        self.batch_size = batch_size

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
                self.batch_size = min(self.batch_size, len(part) // 2)  # another stream may have made it smaller yet
                continue
            start += len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an encoder failed for want of memory: lusfx's own say so by a type, a plugin's may let torch's error out."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "out of memory" in str(error))
