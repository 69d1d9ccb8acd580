"""Clips that look like clips of a training: encoded again, trimmed or rescaled, so that their content's digest is another.

Frames are compared by the cosine of their embeddings, after each dimension has the mean 0 and the deviation 1 of the training
clips. A clip is like a training clip where the median of its frames has a frame there that is as close as
:data:`SIMILARITY`. Measured with ``lung-lite0`` on public clips: ``docs/reliability.md`` has the figures.

Within one training all clips are compared by their mean embeddings first, which takes a second for some thousands, and only
those that are alike there by their frames. There a pair must also be much closer than either is to any third patient's clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Store
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
CLIPS_OF_SCALE = 256
"""Whose frames give mean and deviation, where a training has more."""
ROWS_AT_A_TIME = 512


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
        of_clip = _likeness(queries, _directions(rows, mean, deviation))
        closest_to[of_clip > closest] = len(names)
        closest = np.maximum(closest, of_clip)
        names.append(name)
    return [
        NearDuplicate(asked[clip][0], names[closest_to[clip]], float(closest[clip]))
        for clip in np.flatnonzero(closest >= SIMILARITY).tolist()
    ]


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
    pairs = _candidates(directions, patient)
    if not pairs:
        return []
    scale = _scale(store, [keys[row] for row in evenly_spaced(len(keys), CLIPS_OF_SCALE)])
    found = []
    for pair in pairs:
        first, second = pair
        similarity = _likeness_of(store, keys[first], keys[second], scale)
        if similarity < SIMILARITY:
            continue
        # What a third patient's clip is like, too, is how clips look there.
        third = [(row, _closest(directions, row, ~np.isin(patient, patient[list(pair)]))) for row in pair]
        usual = max([-1.0, *(_likeness_of(store, keys[row], keys[other], scale) for row, other in third if other >= 0)])
        if similarity >= CERTAIN_SIMILARITY or 1 - similarity <= DISTANCE_RATIO * (1 - usual):
            found.append(NearDuplicate(keys[first], keys[second], similarity))
    return found


def _candidates(directions: NDArray[np.float32], patient: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Rows of clips whose mean embeddings are alike and whose patients are not, each pair once."""
    pairs = set()
    for start in range(0, len(directions), ROWS_AT_A_TIME):
        similarity = directions[start : start + ROWS_AT_A_TIME] @ directions.T
        similarity[patient[start : start + ROWS_AT_A_TIME, None] == patient] = -1
        closest = similarity.argmax(axis=1)
        for row in np.flatnonzero(similarity.max(axis=1) >= CANDIDATE_SIMILARITY).tolist():
            if len(np.unique(patient[similarity[row] >= SIMILARITY])) <= MOST_PATIENTS:
                pairs.add((min(start + row, int(closest[row])), max(start + row, int(closest[row]))))
    return sorted(pairs)


def _closest(directions: NDArray[np.float32], row: int, among: NDArray[np.bool_]) -> int:
    """The row among some that is most like another; -1 of none."""
    return int(np.where(among, directions @ directions[row], -np.inf).argmax()) if among.any() else -1


def _likeness_of(
    store: Store, first: str, second: str, scale: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> float:
    """How much two clips are alike, either of which may be a part of the other; -1 where one cannot be read."""
    frames = [_directions(rows, *scale) for _, rows in _frames(store, [first, second])]
    if len(frames) < 2:
        return -1.0
    return max(float(_likeness(some[_spread(len(some))], whole)[0]) for some, whole in (frames, frames[::-1]))


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
