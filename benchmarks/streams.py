"""Encoding batches as the pipeline does: as many at the same time as the encoder takes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Encode = Callable[[Images], NDArray[np.float32]]


class Streams:
    """Encodes images in batches.

    :param encode: may be called by ``streams`` threads at the same time.
    """

    def __init__(self, encode: Encode, streams: int) -> None:
        self._encode = encode
        self._threads = ThreadPoolExecutor(streams, thread_name_prefix="benchmark-encode")

    def __call__(self, images: Images, batch_size: int) -> NDArray[np.float32]:
        """Embeddings ``(n, dim)`` of images ``(n, size, size)``."""
        batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
        return np.concatenate(list(self._threads.map(self._encode, batches)))
