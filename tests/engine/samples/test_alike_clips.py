"""The clips that one may be like: all where they are few, and of many those nearby."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.engine.samples.alike_clips import AlikeClips, Directions

N, DIM = 900, 16


@pytest.fixture
def directions(generator: np.random.Generator) -> Directions:
    rows = generator.normal(size=(N, DIM))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("most_whole", [N, N // 2])
def test_each_query_comes_once_with_true_cosines(directions: Directions, most_whole: int) -> None:
    queries = directions[: N // 3]
    seen: list[int] = []
    for rows, among, cosines in AlikeClips(directions, most_whole).compare(queries):
        assert cosines.shape == (len(rows), len(among))
        np.testing.assert_allclose(cosines, queries[rows] @ directions[among].T, atol=1e-5)
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(queries)))


def test_few_clips_are_compared_whole(directions: Directions) -> None:
    for _, among, _ in AlikeClips(directions, N).compare(directions):
        assert len(among) == N


def test_of_many_a_copy_s_original_is_still_among_those_compared(
    directions: Directions, generator: np.random.Generator
) -> None:
    copies = directions + 0.1 * generator.normal(size=directions.shape) / DIM**0.5
    copies = np.asarray(copies / np.linalg.norm(copies, axis=1, keepdims=True), np.float32)
    found = n_compared = 0
    for rows, among, cosines in AlikeClips(directions, N // 2).compare(copies):
        found += int((among[cosines.argmax(axis=1)] == rows).sum())
        n_compared += cosines.size
    assert found > 0.97 * N  # vectors without any structure are the hardest to keep together
    assert n_compared < 0.8 * N * N


def test_nothing_is_compared_with_nothing() -> None:
    assert [
        rows.size for rows, _, _ in AlikeClips(np.empty((0, DIM), np.float32)).compare(np.empty((0, DIM), np.float32))
    ] == []
