"""Encoding batches: as many at the same time as the encoder takes, on a device that may have too little memory for them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import Encoder
from lusfx.encoders.batch import checked, named_failure
from lusfx.engine.extraction.clip_in_hand import Batch
from lusfx.engine.extraction.decoding.limits import positive_number
from lusfx.engine.extraction.watched_threads import WatchedThreads
from lusfx.errors import EncoderError, EncoderMemoryError

BATCH_S = 600.0
"""What a batch may take: at 8 frames, more than a minute a frame."""


def batch_s_of_environment() -> float:
    """What the encoder may take for a batch and for being loaded, in seconds: ``LUSFX_ENCODER_TIMEOUT_S``, or 600.

    :raises UsageError: if that is no positive number.
    """
    return positive_number("LUSFX_ENCODER_TIMEOUT_S", BATCH_S)


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

    What an encoder does wrong ends here in an :class:`EncoderError`, whichever exception it raises, whatever it gives, and if
    it does not return.

    :param batch_size: the most frames to be given to the encoder at once.
    :param wake: called, on any thread, when a batch is done.
    :param stopping: whether the run is stopping; nothing is waited for then.
    :param batch_s: seconds that the encoder may take for a batch, or for being loaded.
    :raises EncoderError: if it does not say how many batches it takes at a time.
    """

    def __init__(
        self,
        encoder: Encoder,
        batch_size: int,
        wake: Callable[[], None],
        stopping: Callable[[], bool] = lambda: False,
        batch_s: float = BATCH_S,
    ) -> None:
        if not isinstance(encoder.streams, int) or encoder.streams < 1:
            raise EncoderError(f"encoder {encoder.name}: 'streams' must be a number of threads, 1 or more")
        self._encoder = PatientEncoder(encoder, batch_size)
        self._n_streams = encoder.streams
        self._wake = wake
        self._is_stopping = stopping
        self._threads = WatchedThreads(encoder.streams, "lusfx-encode", batch_s)
        self._in_hand: deque[tuple[Batch, Future[tuple[NDArray[np.float32], float]]]] = deque()

    @property
    def batch_size(self) -> int:
        """Frames that the encoder is given at once: fewer than asked for where it ran out of memory."""
        return self._encoder.batch_size

    @property
    def hungry(self) -> bool:
        """Whether a thread has nothing to encode."""
        return len(self._in_hand) < self._n_streams

    def stopping(self) -> bool:
        """Whether the run is stopping. Whoever waits for anything must ask this often.

        :raises EncoderError: if the encoder has a batch for longer than it may.
        """
        if self._is_stopping():
            return True
        if self._threads.is_overdue():
            raise EncoderError(
                f"encoder {self._encoder.encoder.name} has not answered for {self._threads.limit_s:g} s. If it is slow and "
                "not stuck, take a smaller --batch-size, or set LUSFX_ENCODER_TIMEOUT_S to more seconds"
            )
        return False

    def warm_up(self) -> None:
        """Load what the first batch needs, on a thread that encodes.

        :raises EncoderError: if that fails, or does not end.
        """
        loading = self._threads.submit(self._load)
        if self._threads.wait(loading, self.stopping):
            loading.result()

    def begin(self, batch: Batch) -> Iterator[Encoded]:
        """Have a batch encoded.

        :returns: others, where there were too many in hand: the oldest is waited for.
        """
        encoding = self._threads.submit(lambda: self._encode(batch))
        self._in_hand.append((batch, encoding))
        encoding.add_done_callback(lambda _: self._wake())
        while len(self._in_hand) > self._n_streams + 1 and not self._is_stopping():  # one waits, so that no thread does
            yield from self._oldest()

    def done(self) -> Iterator[Encoded]:
        """Batches that are done, up to the first that is not.

        :raises EncoderError: if the encoder failed on one.
        """
        while self._in_hand and self._in_hand[0][1].done():
            yield from self._oldest()

    def rest(self) -> Iterator[Encoded]:
        """All that are still in hand; fewer if the run is stopping."""
        while self._in_hand and not self._is_stopping():
            yield from self._oldest()

    def close(self) -> None:
        """Drop the batches that no thread has begun, and wait a little for the others."""
        self._threads.close()

    def _oldest(self) -> Iterator[Encoded]:
        """The oldest batch once it is done; nothing if the run is stopping before."""
        batch, encoding = self._in_hand[0]
        if self._threads.wait(encoding, self.stopping):
            self._in_hand.popleft()
            yield Encoded(batch, *encoding.result())

    def _load(self) -> None:
        with named_failure(self._encoder.encoder.name, "while it was loaded"):
            self._encoder.encoder.warm_up()

    def _encode(self, batch: Batch) -> tuple[NDArray[np.float32], float]:
        started = time.perf_counter()
        with named_failure(self._encoder.encoder.name, "on a batch"):
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
        :raises EncoderError: if it gives anything but ``(n, dim)`` float32.
        """
        parts: list[NDArray[np.float32]] = []
        start = 0
        while start < len(images):
            part = images[start : start + self.batch_size]
            try:
                found = self.encoder.encode(part)
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
            parts.append(checked(found, len(part), self.encoder.identity.dim, self.encoder.name))
            start += len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an encoder failed for want of memory: lusfx's own say so by a type, a plugin's may let torch's error out."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "out of memory" in str(error))
