"""Features leave a cache as they lie in it: a row a clip or a frame, with pseudonyms, and what has none is counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lusfx.cache import Cache
from lusfx.contracts import Task
from lusfx.engine.export import Rows, export, load_features
from lusfx.engine.samples.readable_frames import ReadableFrames
from lusfx.errors import CacheError, UsageError
from lusfx.tables import read_table
from lusfx.testing.small_cache import ENCODER, SmallCache, make_small_cache


class Plain(Task):
    """Effusion, one answer a clip."""

    name = "plain"
    label_columns = ("effusion",)


@pytest.fixture
def small(small_cache_of: Callable[..., SmallCache]) -> SmallCache:
    """Four patients with three clips each: of 12 frames, one of which cannot be read, of 7 and of 1."""
    return small_cache_of(Plain(), n_patients=4)


def test_a_row_a_clip_has_its_pooled_frames_and_whose_it_is(small: SmallCache) -> None:
    features = load_features(small.cache)
    assert features.values.shape == (12, 48)
    assert features.values.dtype == np.float32
    members = Cache.open(small.cache).memberships()
    for row, key in enumerate(features.clips.tolist()):
        frames = ReadableFrames(small.store.read(key))
        assert np.array_equal(features.values[row], np.concatenate([frames.mean, frames.max]))
        member = members[key]
        assert (features.patients[row], features.exams[row], features.zones[row]) == (
            member.patient,
            member.exam,
            member.zone,
        )
    assert set(features.frames.tolist()) == {-1}
    assert (features.encoder, features.fingerprint) == (ENCODER, small.store.fingerprint)
    assert features.n_left_out == 0
    assert repr(features) == f"<Features: 12 rows of 48 features from 12 clips, made-up ({features.fingerprint[:12]})>"
    assert "made-up-0" not in str(features.patients)  # the identifiers of the table


def test_a_row_a_frame_has_its_position_and_time(small: SmallCache) -> None:
    features = load_features(small.cache, rows="frames")
    assert features.values.shape == (4 * (11 + 7 + 1), 24)
    key = next(key for key, clip in small.clips().items() if clip.n_frames == 12)
    mine = features.clips == key
    clip = small.store.read(key)
    readable = np.delete(np.arange(12), 2)
    assert features.frames[mine].tolist() == readable.tolist()
    assert np.array_equal(features.times_s[mine], clip.times_s[readable])
    assert np.array_equal(features.values[mine], clip.embeddings[readable].astype(np.float32))


@pytest.mark.parametrize("rows", ["mean", "frames"])
@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_a_table_has_what_the_arrays_have(small: SmallCache, tmp_path: Path, rows: Rows, ending: str) -> None:
    out = tmp_path / f"features{ending}"
    made = export(small.cache, out, rows=rows)
    features, table = load_features(small.cache, rows=rows), read_table(out)
    assert (made.n_clips, made.n_rows, made.n_features) == (12, len(features), 24)
    assert made.summary() == features.summary()
    assert [row["clip"] for row in table] == features.clips.tolist()
    assert [row["patient"] for row in table] == features.patients.tolist()
    values = np.array([[float(row[f"f{number}"]) for number in range(24)] for row in table], np.float32)
    assert np.array_equal(values, features.values)
    frames = [int(row["frame"]) if row["frame"] else -1 for row in table]
    assert frames == features.frames.tolist()
    assert {(row["encoder"], row["fingerprint"]) for row in table} == {(ENCODER, small.store.fingerprint)}


def test_what_has_no_features_is_left_out_and_counted(tmp_path: Path) -> None:
    small = make_small_cache(tmp_path / "own", Plain(), n_patients=4)
    first = sorted(small.store.keys())[0]
    path = small.store.path_of(first)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    features = load_features(small.cache)
    assert first not in features.clips
    assert (len(features), features.n_left_out) == (11, 1)
    assert features.summary().endswith("; 1 clip left out")
    assert export(small.cache, tmp_path / "f.csv").as_dict()["left_out"] == 1


def test_a_table_that_is_there_and_a_cache_without_features_are_refused(small: SmallCache, tmp_path: Path) -> None:
    out = tmp_path / "f.csv"
    out.write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        export(small.cache, out)
    assert out.read_text() == "mine"
    export(small.cache, out, force=True)
    assert len(read_table(out)) == 12
    Cache.open(tmp_path / "empty", create=True)
    with pytest.raises(CacheError, match="holds no features yet"):
        load_features(tmp_path / "empty")
    with pytest.raises(UsageError, match="a table's name ends in"):
        export(small.cache, tmp_path / "f.npy")
