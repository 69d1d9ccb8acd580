"""Clips that look like training clips are found, with the clip that they are like; others are not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from lusfx.cache import Cache, Store
from lusfx.config import FeatureSpec
from lusfx.engine.evaluation.near_duplicates import near_duplicates
from lusfx.types import ClipEmbeddings, FrameStatus

DIM = 5
"""Of the fixture's feature spec: made-up directions in so few dimensions are alike by chance, so the clips are few."""
SEEN = [hashlib.sha256(f"seen {number}".encode()).hexdigest() for number in range(3)]
CENTRES = 10 * np.eye(3, DIM)


def clip_of(rows: np.ndarray, unreadable: int | None = None) -> ClipEmbeddings:
    embeddings, status = rows.astype(np.float32), np.zeros(len(rows), np.uint8)
    if unreadable is not None:
        embeddings[unreadable], status[unreadable] = np.nan, FrameStatus.UNREADABLE
    return ClipEmbeddings(embeddings, np.arange(len(rows)) / 25, np.arange(len(rows)), status, {})


@pytest.fixture
def store(tmp_path: Path, feature_spec: FeatureSpec, generator: np.random.Generator) -> Store:
    """Three training clips, each around a place of its own."""
    made = Cache.open(tmp_path / "cache", create=True).store(feature_spec)
    for key, centre in zip(SEEN, CENTRES, strict=True):
        made.write(key, clip_of(centre + generator.normal(size=(12, DIM)), unreadable=3))
    return made


def test_a_trimmed_copy_is_found_with_the_clip_that_it_is_of(store: Store) -> None:
    copy = "ab" * 32
    store.write(copy, clip_of(store.read(SEEN[1]).embeddings[6:10] + np.float32(0.05)))
    (found,) = near_duplicates(store, SEEN, [copy])
    assert (found.key, found.seen) == (copy, SEEN[1])
    assert 0.9 <= found.similarity <= 1 + 1e-6


def test_another_clip_is_not_found(store: Store, generator: np.random.Generator) -> None:
    other = "cd" * 32
    store.write(other, clip_of(np.array([0, 0, 0, 10, -10]) + generator.normal(size=(9, DIM))))
    assert near_duplicates(store, SEEN, [other]) == []


def test_training_clips_that_cannot_be_read_are_not_compared(store: Store) -> None:
    copy = "ab" * 32
    store.write(copy, clip_of(store.read(SEEN[0]).embeddings[6:10]))
    path = store.path_of(SEEN[2])
    path.write_bytes(path.read_bytes()[:-1])
    assert [pair.seen for pair in near_duplicates(store, SEEN, [copy])] == [SEEN[0]]
    assert near_duplicates(store, ["ef" * 32], [copy]) == []
    assert near_duplicates(store, SEEN, []) == []
