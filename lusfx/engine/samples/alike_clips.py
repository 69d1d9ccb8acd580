"""Which clips may be alike, by one vector each: what is compared frame by frame is chosen here.

Of some ten thousand clips all are compared with all. Of more, only those whose vectors lie in neighbouring cells (an inverted
file, Sivic and Zisserman 2003, doi:10.1109/ICCV.2003.1238663): the time must not grow with the product of both numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MOST_WHOLE = 20_000
"""Clips that are searched whole: below it the cells would take as long to make."""
CELLS_SEARCHED = 16
"""Of the cells, those nearest to the one that a clip lies in."""
CLIPS_A_CELL_TO_LEARN_FROM = 32
ROWS_AT_A_TIME = 512

Directions = NDArray[np.float32]
"""Vectors of length 1, ``(n, dim)``: their products are cosines."""


class AlikeClips:
    """Clips to be searched.

    :param directions: ``(n, dim)`` one vector of length 1 a clip.
    :param most_whole: above so many clips, cells are searched.
    """

    def __init__(self, directions: Directions, most_whole: int = MOST_WHOLE) -> None:
        self._directions = directions
        self._centres = _centres(directions, round(len(directions) ** 0.5)) if len(directions) > most_whole else None
        if self._centres is not None:
            self._cell_of = _nearest(directions, self._centres)

    def compare(self, queries: Directions) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], Directions]]:
        """Portions of the queries with the clips that each may be like.

        :param queries: ``(q, dim)`` of length 1.
        :returns: rows ``(r,)`` of the queries, rows ``(c,)`` of the clips, and the cosines of the two, ``(r, c)``. Each query
            comes once.
        """
        for rows, among in self._portions(queries):
            clips = self._directions[among]
            for start in range(0, len(rows), ROWS_AT_A_TIME):
                some = rows[start : start + ROWS_AT_A_TIME]
                yield some, among, queries[some] @ clips.T

    def _portions(self, queries: Directions) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        if self._centres is None:
            yield np.arange(len(queries)), np.arange(len(self._directions))
            return
        cell_of_query = _nearest(queries, self._centres)
        for cell in np.unique(cell_of_query).tolist():
            nearby = np.argsort(-(self._centres @ self._centres[cell]))[:CELLS_SEARCHED]
            yield np.flatnonzero(cell_of_query == cell), np.flatnonzero(np.isin(self._cell_of, nearby))


def _centres(directions: Directions, n_cells: int) -> Directions:
    """Centres of the cells, ``(n_cells, dim)``, learnt from some of the clips."""
    from sklearn.cluster import MiniBatchKMeans

    some = directions[:: max(1, len(directions) // (n_cells * CLIPS_A_CELL_TO_LEARN_FROM))]
    found = (
        MiniBatchKMeans(n_cells, random_state=0, n_init=1, batch_size=4096, init="random").fit(some).cluster_centers_
    )
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6), np.float32)


def _nearest(directions: Directions, centres: Directions) -> NDArray[np.intp]:
    """The cell of each vector."""
    cells = [
        (directions[start : start + ROWS_AT_A_TIME] @ centres.T).argmax(axis=1)
        for start in range(0, len(directions), ROWS_AT_A_TIME)
    ]
    return np.concatenate(cells) if cells else np.empty(0, np.intp)
