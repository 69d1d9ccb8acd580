"""A synthetic archive has the form of a real one, is the same on every machine, and its looks do not tell its labels."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import lusfx.synth.archive
from lusfx.errors import UsageError
from lusfx.synth import LungPattern, PatientLook, simulate, write_archive, write_video

COLUMNS = ["path", "patient_id", "zone", "a_lines", "b_lines", "severity"]


def decoded(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    write_archive(folder, n_patients=4, clips_per_patient=2, n_frames=5, seed=3)
    return folder


def test_the_table_names_every_clip_and_says_that_it_is_synthetic(written: Path) -> None:
    rows = rows_of(written / "labels.csv")
    assert list(rows[0]) == COLUMNS
    assert sorted(row["path"] for row in rows) == sorted(
        path.relative_to(written).as_posix() for path in written.rglob("*.mp4")
    )
    assert sorted({row["patient_id"] for row in rows}) == [f"synthetic-{number:04}" for number in range(1, 5)]
    assert all(row["path"].startswith(f"clips/{row['patient_id']}-") for row in rows)
    assert {row["zone"] for row in rows} == {"L1", "L2"}


def test_the_clips_can_be_read(written: Path) -> None:
    for row in rows_of(written / "labels.csv"):
        with av.open(str(written / row["path"])) as container:
            assert container.streams.video[0].average_rate == 20
            frames = list(container.decode(video=0))
        assert [frame.time for frame in frames] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
        assert {(frame.width, frame.height) for frame in frames} == {(224, 224)}


def test_a_seed_gives_the_same_archive(written: Path, tmp_path: Path) -> None:
    arguments = {"n_patients": 4, "clips_per_patient": 2, "n_frames": 5}
    write_archive(tmp_path / "same", seed=3, **arguments)
    assert contents(tmp_path / "same") == contents(written)
    write_archive(tmp_path / "other", seed=4, **arguments)
    other = contents(tmp_path / "other")
    assert other.keys() == contents(written).keys()
    assert not set(other.values()) & set(contents(written).values())


def test_a_patient_is_the_same_in_every_archive_of_a_seed(written: Path, tmp_path: Path) -> None:
    table = write_archive(tmp_path, n_patients=1, clips_per_patient=2, n_frames=5, seed=3, first_patient=3)
    rows = rows_of(table)
    assert rows == [row for row in rows_of(written / "labels.csv") if row["patient_id"] == "synthetic-0003"]
    assert all((tmp_path / row["path"]).read_bytes() == (written / row["path"]).read_bytes() for row in rows)


class Recorder:
    """Takes the simulator's and the encoder's places, and notes what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[PatientLook, LungPattern, int]] = []

    def simulate(self, look: PatientLook, pattern: LungPattern, *, seed: int, n_frames: int) -> NDArray[np.uint8]:
        self.asked.append((look, pattern, seed))
        return np.zeros((n_frames, 2, 2), np.uint8)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[list[dict[str, str]], Recorder]:
    """The labels of 1600 clips, and what they were to be drawn from."""
    recorder = Recorder()
    monkeypatch.setattr(lusfx.synth.archive, "simulate", recorder.simulate)
    monkeypatch.setattr(lusfx.synth.archive, "write_video", lambda *_: None)
    return rows_of(write_archive(tmp_path, n_patients=400, clips_per_patient=4, n_frames=1)), recorder


def test_labels_say_what_was_drawn(many: tuple[list[dict[str, str]], Recorder]) -> None:
    rows, recorder = many
    of_severity: dict[int, set[int]] = {severity: set() for severity in range(4)}
    for row, (_, pattern, _) in zip(rows, recorder.asked, strict=True):
        of_severity[int(row["severity"])].add(pattern.n_b_lines)
        assert int(row["b_lines"]) == (pattern.n_b_lines > 0)
        assert int(row["a_lines"]) == pattern.a_lines == (int(row["severity"]) < 2)
    assert of_severity == {0: {0}, 1: {1, 2}, 2: {3, 4, 5}, 3: {7, 8, 9, 10}}


def test_the_look_is_the_patients_and_says_nothing_of_the_labels(
    many: tuple[list[dict[str, str]], Recorder],
) -> None:
    rows, recorder = many
    looks = {row["patient_id"]: look for row, (look, _, _) in zip(rows, recorder.asked, strict=True)}
    assert all(looks[row["patient_id"]] == look for row, (look, _, _) in zip(rows, recorder.asked, strict=True))
    assert len(set(looks.values())) == 400
    assert len({seed for _, _, seed in recorder.asked}) == 1600
    severity = [np.mean([int(row["severity"]) for row in rows[start : start + 4]]) for start in range(0, 1600, 4)]
    for field in ("convex", "depth_mm", "wall_mm", "gain_db", "attenuation_db_mm"):
        values = [float(getattr(look, field)) for look in looks.values()]
        # 3 standard errors of a correlation of nought over 400 patients
        assert abs(np.corrcoef(values, severity)[0, 1]) < 0.15, field


def test_clips_of_one_patient_need_not_agree(many: tuple[list[dict[str, str]], Recorder]) -> None:
    rows, _ = many
    severities = np.array([int(row["severity"]) for row in rows])
    assert (np.bincount(severities) > 300).all()
    mixed = (np.ptp(severities.reshape(400, 4), axis=1) > 0).mean()
    assert 0.3 < mixed < 0.8


@pytest.mark.parametrize(
    "wrong",
    [{"n_patients": 0}, {"clips_per_patient": 0}, {"n_frames": 0}, {"seed": -1}, {"first_patient": -1}],
)
def test_senseless_archives_are_refused_before_anything_is_written(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="at least"):
        write_archive(tmp_path / "out", **{"n_patients": 1, **wrong})
    assert not (tmp_path / "out").exists()


def test_video_keeps_the_pixels_closely(tmp_path: Path, look: PatientLook) -> None:
    frames = simulate(look, LungPattern(a_lines=True, n_b_lines=2), seed=1, n_frames=6)
    write_video(tmp_path / "clip.mp4", frames, 20)
    error = np.abs(decoded(tmp_path / "clip.mp4").astype(int) - frames)
    assert error.mean() < 2
    assert np.percentile(error, 99) < 8


@pytest.mark.parametrize("shape", [(3, 64, 96), (3, 65, 97), (1, 32, 32)])
def test_video_of_any_shape_keeps_it(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    write_video(tmp_path / "clip.mp4", np.full(shape, 90, np.uint8), 10)
    video = decoded(tmp_path / "clip.mp4")
    assert video.shape == shape
    assert np.abs(video.astype(int) - 90).max() <= 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot lend a process fewer cores")
def test_video_is_the_same_whatever_the_number_of_cores(tmp_path: Path, generator: np.random.Generator) -> None:
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("one core only")
    frames = generator.integers(0, 256, (4, 64, 64), dtype=np.uint8)
    write_video(tmp_path / "many.mp4", frames, 20)
    os.sched_setaffinity(0, {min(cores)})
    try:
        write_video(tmp_path / "one.mp4", frames, 20)
    finally:
        os.sched_setaffinity(0, cores)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "many.mp4").read_bytes()
