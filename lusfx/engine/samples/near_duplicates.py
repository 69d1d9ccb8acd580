"""Clips that look like clips of a training: encoded again, trimmed or rescaled, so that their content's digest is another.

Frames are compared by the cosine of their embeddings, after each dimension has the mean 0 and the deviation 1 of the training
clips. A clip is like a training clip where the median of its frames has a frame there that is as close as
:data:`SIMILARITY`. Measured with ``lung-lite0`` on public clips: ``docs/reliability.md`` has the figures.

Clips are compared by their mean embeddings first (``alike_clips.py``), and only those that are alike there by their frames.
Within one training a pair must also be much closer than either is to any third patient's clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Store
from lusfx.engine.samples.alike_clips import AlikeClips, Directions
from lusfx.engine.samples.readable_frames import ReadableFrames
from lusfx.spacing import evenly_spaced

SIMILARITY = 0.9
FRAMES_COMPARED = 8
"""Of each clip that is looked up; of training clips all frames are looked at."""
SMALLEST_DEVIATION = 1e-6
CANDIDATE_SIMILARITY = 0.7
"""Of mean embeddings, from which on two clips are compared frame by frame: a part of a clip has another mean than the whole."""
MOST_PATIENTS = 4
"""A clip that is like clips of more other patients than this is a picture that many have (black, a phantom, a title) and no
copy of one; or the features tell nothing apart."""
DISTANCE_RATIO = 0.3
"""Of the squared distance to the other clip, to that of the closest clip of a third patient. Where all clips look alike, as
those of a simulator do, the two are about the same; of copies the ratio is 0.2 at most. It is the ratio test of Lowe
(doi:10.1023/B:VISI.0000029664.99615.94)."""
CERTAIN_SIMILARITY = 0.98
"""From which on no third patient is asked: several may have a copy."""
FEWEST_DIMENSIONS = 32
"""In fewer, made-up directions are alike by chance."""
MOST_CANDIDATES = 4
"""Training clips that one clip is compared with frame by frame."""
CLIPS_OF_SCALE = 256
"""Whose frames give mean and deviation, where a training has more."""


Scale = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Mean and deviation of each dimension."""


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """A clip that looks like a training clip, or two training clips of different patients.

    :param key: its clip key; ``seen`` is that of the training clip, or of the other one.
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
    held, centres = _centres(store, sorted(set(seen) & store.keys()))
    asked, asked_centres = _centres(store, keys)
    if not held or not asked:
        return []
    scale = _scale(store, [held[row] for row in evenly_spaced(len(held), CLIPS_OF_SCALE)])
    alike = AlikeClips(_directions(centres, *scale))
    found = []
    for rows, among, cosines in alike.compare(_directions(asked_centres, *scale)):
        for row, cosine in zip(rows.tolist(), cosines, strict=True):
            candidates = np.argsort(-cosine)[:MOST_CANDIDATES]
            if len(held) > MOST_CANDIDATES:  # of so few clips a mean says little
                candidates = candidates[cosine[candidates] >= CANDIDATE_SIMILARITY]
            pairs = [
                NearDuplicate(asked[row], name, _likenesses(store, asked[row], name, scale)[0])
                for name in (held[among[candidate]] for candidate in candidates.tolist())
            ]
            found += [
                pair for pair in sorted(pairs, key=lambda pair: -pair.similarity)[:1] if pair.similarity >= SIMILARITY
            ]
    return sorted(found, key=lambda pair: pair.key)


def near_duplicates_within(
    store: Store, centres: Mapping[str, NDArray[np.float32]], patients: Mapping[str, str]
) -> list[NearDuplicate]:
    """Find clips of a training that look like a clip of another patient there: copies that no split keeps apart.

    :param centres: mean embedding ``(dim,)`` of each clip by its key, all of them in the store.
    :param patients: patient key of each clip.
    :returns: each pair once, in order of their keys; of each clip the one that it is most like is looked at.
    """
    keys = sorted(centres)
    if len(keys) < 2 or len(centres[keys[0]]) < FEWEST_DIMENSIONS:
        return []
    _, patient = np.unique([patients[key] for key in keys], return_inverse=True)
    rows = np.stack([centres[key] for key in keys])
    directions = _directions(rows, rows.mean(axis=0), rows.std(axis=0) + SMALLEST_DEVIATION)
    closest, nearby = _closest_of_others(directions, patient)
    scale = _scale(store, [keys[row] for row in evenly_spaced(len(keys), CLIPS_OF_SCALE)])
    pairs = {(min(row, other), max(row, other)) for row, other in enumerate(closest.tolist()) if other >= 0}
    found = []
    for first, second in sorted(pairs):
        similarity = max(_likenesses(store, keys[first], keys[second], scale))
        if similarity < SIMILARITY:
            continue
        # What a third patient's clip is like, too, is how clips look there.
        others = [(first, second), (second, first)]
        usual = [
            max(_likenesses(store, keys[row], keys[clip], scale)) for row, clip in _thirds(others, patient, nearby)
        ]
        if similarity >= CERTAIN_SIMILARITY or 1 - similarity <= DISTANCE_RATIO * (1 - max([-1.0, *usual])):
            found.append(NearDuplicate(keys[first], keys[second], similarity))
    return found


def _closest_of_others(directions: Directions, patient: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of each clip the clip of another patient that is most like it, and the closest clips of the two closest patients.

    :returns: ``(n,)`` rows, -1 where none is alike or the clip is like those of many; ``(n, 2)`` rows, -1 where there is none.
    """
    closest, nearby = np.full(len(directions), -1), np.full((len(directions), 2), -1)
    for rows, among, cosines in AlikeClips(directions).compare(directions):
        whose = patient[among]
        cosines[whose == patient[rows, None]] = -np.inf
        for row, cosine in zip(rows.tolist(), cosines, strict=True):
            best = int(cosine.argmax())
            of_many = len(np.unique(whose[cosine >= SIMILARITY])) > MOST_PATIENTS
            if cosine[best] >= CANDIDATE_SIMILARITY and not of_many:
                closest[row] = among[best]
            for position in range(2):
                best = int(cosine.argmax())
                if np.isfinite(cosine[best]):
                    nearby[row, position] = among[best]
                cosine[whose == whose[best]] = -np.inf
    return closest, nearby


def _thirds(
    pairs: Iterable[tuple[int, int]], patient: NDArray[np.intp], nearby: NDArray[np.intp]
) -> Iterator[tuple[int, int]]:
    """Each first clip of some pairs with the closest clip that is neither its own patient's nor the other's."""
    for row, other in pairs:
        yield from [(row, clip) for clip in nearby[row].tolist() if clip >= 0 and patient[clip] != patient[other]][:1]


def _centres(store: Store, keys: Sequence[str]) -> tuple[list[str], NDArray[np.float32]]:
    """Clips that have readable frames, and the mean embedding of each, ``(n, dim)``."""
    found = [(key, rows.mean(axis=0, dtype=np.float32)) for key, rows in _frames(store, keys)]
    return [key for key, _ in found], np.array([centre for _, centre in found], np.float32)


def _likenesses(store: Store, first: str, second: str, scale: Scale) -> tuple[float, float]:
    """How much the first is like a part of the second, and the second like a part of the first; -1 where one is unreadable."""
    frames = {key: _directions(rows, *scale) for key, rows in _frames(store, [first, second])}
    if len(frames) < 2:
        return -1.0, -1.0
    parts = [frames[key][_spread(len(frames[key]))] for key in (first, second)]
    return float(_likeness(parts[0], frames[second])[0]), float(_likeness(parts[1], frames[first])[0])


def _likeness(queries: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """How much each clip of FRAMES_COMPARED ``queries`` is like the clip of ``rows``: directions, both."""
    closest = (queries @ rows.T).max(axis=1)
    return np.asarray(np.median(closest.reshape(-1, FRAMES_COMPARED), axis=1), np.float64)


def _spread(n: int) -> NDArray[np.intp]:
    """Positions of FRAMES_COMPARED of ``n`` frames, evenly spaced; of a shorter clip some stand more than once."""
    return np.linspace(0, n - 1, FRAMES_COMPARED).round().astype(np.intp)


def _frames(store: Store, keys: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Embeddings of each clip's readable frames; clips without any, and damaged ones, are left out."""
    for key, embeddings in store.read_all(keys, failed=lambda key, error: None):
        frames = ReadableFrames(embeddings)
        if len(frames):
            yield key, frames.rows


def _scale(store: Store, keys: Sequence[str]) -> Scale:
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
