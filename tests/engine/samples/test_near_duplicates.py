"""Clips that look like training clips are found, with the clip that they are like; others are not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from lusfx.cache import Cache, Store
from lusfx.config import FeatureSpec
from lusfx.engine.samples.near_duplicates import near_duplicates, near_duplicates_within
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


WIDE = 48
"""Dimensions in which nothing is alike by chance."""


@pytest.fixture
def wide_store(tmp_path: Path, feature_spec: FeatureSpec) -> Store:
    wide = feature_spec.model_copy(update={"encoder": feature_spec.encoder.model_copy(update={"dim": WIDE})})
    return Cache.open(tmp_path / "wide", create=True).store(wide)


class Training:
    """Clips of patients, each around a place of its own, written to a store."""

    def __init__(self, store: Store, n: int, generator: np.random.Generator) -> None:
        self.store, self.generator = store, generator
        self.patients: dict[str, str] = {}
        self.centres: dict[str, np.ndarray] = {}
        for number in range(n):
            self.add(self.rows(), f"patient {number}")

    def rows(self) -> np.ndarray:
        return 5 * self.generator.normal(size=WIDE) + self.generator.normal(size=(12, WIDE))

    def add(self, rows: np.ndarray, patient: str) -> str:
        key = hashlib.sha256(f"{len(self.patients)}".encode()).hexdigest()
        self.store.write(key, clip_of(rows))
        self.patients[key], self.centres[key] = patient, rows.mean(axis=0).astype(np.float32)
        return key

    def found(self) -> list[set[str]]:
        return [{pair.key, pair.seen} for pair in near_duplicates_within(self.store, self.centres, self.patients)]


def test_a_copy_under_another_patient_is_found_once(wide_store: Store, generator: np.random.Generator) -> None:
    training = Training(wide_store, 20, generator)
    rows = training.rows()
    whole = training.add(rows, "one")
    part = training.add(rows[3:7] + 0.1 * generator.normal(size=(4, WIDE)), "another")
    assert training.found() == [{whole, part}]


def test_copies_of_one_patient_are_nobodys_business(wide_store: Store, generator: np.random.Generator) -> None:
    training = Training(wide_store, 20, generator)
    rows = training.rows()
    training.add(rows, "one")
    training.add(rows + 0.01, "one")
    assert training.found() == []


def test_a_picture_that_many_have_is_no_copy(wide_store: Store, generator: np.random.Generator) -> None:
    """Black frames, a phantom, a page of text: the same with every patient."""
    training = Training(wide_store, 20, generator)
    black = training.rows()[:1].repeat(5, axis=0)
    for number in range(6):
        training.add(black, f"patient {number}")
    assert training.found() == []


def test_features_that_tell_nothing_apart_find_nothing(wide_store: Store, generator: np.random.Generator) -> None:
    training = Training(wide_store, 0, generator)
    for number in range(8):
        training.add(np.ones((4, WIDE)), f"patient {number}")
    assert training.found() == []


def test_few_dimensions_are_not_searched(store: Store) -> None:
    centres = {key: np.ones(DIM, np.float32) for key in SEEN}
    assert near_duplicates_within(store, centres, {key: key for key in SEEN}) == []


def test_clips_that_all_look_alike_are_no_copies(wide_store: Store, generator: np.random.Generator) -> None:
    """As those of a simulator: two are always closest, and hardly closer than the next ones."""
    training = Training(wide_store, 20, generator)
    usual = training.rows()
    for number in range(3):
        training.add(usual + 1.0 * generator.normal(size=WIDE), f"scene {number}")
    assert training.found() == []


def test_copies_under_three_patients_are_found(wide_store: Store, generator: np.random.Generator) -> None:
    training = Training(wide_store, 20, generator)
    rows = training.rows()
    copies = {training.add(rows + 0.05 * generator.normal(size=rows.shape), f"copy {number}") for number in range(3)}
    assert set.union(*training.found()) == copies
