"""Clips that look like clips of a training: encoded again, trimmed or rescaled, so that their content's digest is another.

Frames are compared by the cosine of their embeddings, after each dimension has the mean 0 and the deviation 1 of the training
clips. A clip is like a training clip where the median of its frames has a frame there that is as close as
:data:`SIMILARITY`. Measured with ``lung-lite0`` on public clips: ``docs/reliability.md`` has the figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Store
from lusfx.engine.samples.readable_frames import ReadableFrames

SIMILARITY = 0.9
FRAMES_COMPARED = 8
"""Of each clip that is looked up; of training clips all frames are looked at."""
SMALLEST_DEVIATION = 1e-6


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """A clip that looks like a training clip.

    :param key: its clip key; ``seen`` is that of the training clip.
    :param similarity: from -1 to 1.
    """

    key: str
    seen: str
    similarity: float


def near_duplicates(store: Store, seen: Sequence[str], keys: Sequence[str]) -> list[NearDuplicate]:
    """Look clips up among those of a training.

    :param seen: clip keys of the training; those that the store lacks cannot be compared.
    :param keys: clip keys, all of them in the store.
    :returns: those that are found, each with the training clip that it is most like.
    """
    held = sorted(set(seen) & store.keys())
    if not held or not keys:
        return []
    mean, deviation = _scale(store, held)
    asked = [(key, rows[_spread(len(rows))]) for key, rows in _frames(store, keys)]
    if not asked:
        return []
    queries = _directions(np.concatenate([rows for _, rows in asked]), mean, deviation)
    closest, closest_to = np.full(len(asked), -1.0), np.zeros(len(asked), np.intp)
    names: list[str] = []
    for name, rows in _frames(store, held):
        similarity = (queries @ _directions(rows, mean, deviation).T).max(axis=1)
        of_clip = np.median(similarity.reshape(len(asked), FRAMES_COMPARED), axis=1)
        closest_to[of_clip > closest] = len(names)
        closest = np.maximum(closest, of_clip)
        names.append(name)
    return [
        NearDuplicate(asked[clip][0], names[closest_to[clip]], float(closest[clip]))
        for clip in np.flatnonzero(closest >= SIMILARITY).tolist()
    ]


def _spread(n: int) -> NDArray[np.intp]:
    """Positions of FRAMES_COMPARED of ``n`` frames, evenly spaced; of a shorter clip some stand more than once."""
    return np.linspace(0, n - 1, FRAMES_COMPARED).round().astype(np.intp)


def _frames(store: Store, keys: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Embeddings of each clip's readable frames; clips without any, and damaged ones, are left out."""
    for key, embeddings in store.read_all(keys, failed=lambda key, error: None):
        frames = ReadableFrames(embeddings)
        if len(frames):
            yield key, frames.rows


def _scale(store: Store, keys: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each dimension over all frames of some clips."""
    n_frames, total, squares = 0, 0.0, 0.0
    for _, rows in _frames(store, keys):
        n_frames += len(rows)
        total = total + rows.sum(axis=0, dtype=np.float64)
        squares = squares + (rows.astype(np.float64) ** 2).sum(axis=0)
    mean = np.asarray(total) / max(n_frames, 1)
    variance = np.asarray(squares) / max(n_frames, 1) - mean**2
    return mean, np.sqrt(np.maximum(variance, 0)) + SMALLEST_DEVIATION


def _directions(
    rows: NDArray[np.float32], mean: NDArray[np.float64], deviation: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Rows of length 1; their products are cosines."""
    scaled = (rows - mean) / deviation
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(scaled / np.maximum(lengths, SMALLEST_DEVIATION), np.float32)
