"""A synthetic archive has the form of a real one, is the same on every machine, and its tables say what was drawn."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from lusfx.cli.synth import command
from lusfx.errors import UsageError
from lusfx.readers.video import VideoReader
from lusfx.site_key import SiteKey
from lusfx.synth import SITES, Findings, PatientLook, simulate, write_archive, write_video
from lusfx.tables import Row, read_table
from lusfx.types import TimeSource

ASKED = {"path", "patient_id", "exam_id", "zone", "view", "a_lines", "b_lines", "severity", "effusion", "consolidation"}
ASKED |= {"sliding", "site", "device", "probe"}
ANSWERS = ("a_lines", "b_lines", "effusion", "consolidation")
N_FRAMES = 5


def decoded(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    write_archive(folder, n_patients=8, clips_per_patient=3, n_frames=N_FRAMES, seed=3)
    return folder


@pytest.fixture(scope="module")
def labels(written: Path) -> list[Row]:
    return read_table(written / "labels.csv")


def test_the_table_names_every_clip_and_says_that_it_is_synthetic(written: Path, labels: list[Row]) -> None:
    assert set(labels[0].cells) >= ASKED
    assert sorted(row["path"] for row in labels) == sorted(
        path.relative_to(written).as_posix() for path in (written / "clips").iterdir()
    )
    assert sorted({row["patient_id"] for row in labels}) == [f"synthetic-{number:04}" for number in range(1, 9)]
    for row in labels:
        assert row["path"].startswith(f"clips/{row['patient_id']}-")
        assert row["exam_id"] == f"{row['patient_id']}-exam-1"
        assert row["device"].startswith("synthetic-")
        assert row["site"] == "local"
    assert {row["view"] for row in labels} == {"parenchymal", "pleural"}


def test_questions_that_make_no_sense_have_no_answer(labels: list[Row]) -> None:
    for row in labels:
        assert (row["effusion"] == "") == (row["view"] == "parenchymal")
        assert (row["sliding"] == "") == (row["view"] == "pleural")
        assert (row["a_lines"] == "") == (row["b_lines"] == "")
        for column in ("a_lines", "b_lines", "effusion", "consolidation", "sliding"):
            assert row[column] in {"", "0", "1"}
        assert row["severity"] in {"", "0", "1", "2", "3"}


def test_a_clip_shows_what_one_of_its_frames_shows(written: Path, labels: list[Row]) -> None:
    frames: dict[str, list[Row]] = defaultdict(list)
    for row in read_table(written / "frames.csv", ["path", "patient_id", "exam_id", "zone", "frame", "n_b_lines"]):
        frames[row["path"]].append(row)
    for clip in labels:
        of_clip = frames[clip["path"]]
        assert [row["frame"] for row in of_clip] == [str(number) for number in range(N_FRAMES)]
        for name in ANSWERS:
            assert clip[name] == max(row[name] for row in of_clip), name
        for row in of_clip:
            assert row["n_b_lines"] == "" or int(row["b_lines"]) == (int(row["n_b_lines"]) > 0)
            assert (row["patient_id"], row["zone"]) == (clip["patient_id"], clip["zone"])


def test_the_clips_can_be_read(written: Path, labels: list[Row], site_key: SiteKey) -> None:
    for row in labels:
        with VideoReader().open(written / row["path"], site_key) as clip:
            frames = list(clip.frames())
            assert (clip.info.n_frames_declared, clip.info.time_source) == (N_FRAMES, TimeSource.CONTAINER)
        rate_hz = {"synthetic-cart": 25, "synthetic-portable": 20}[row["device"]]
        assert [frame.time_s for frame in frames] == pytest.approx(np.arange(N_FRAMES) / rate_hz)


def test_video_holds_what_was_drawn(tmp_path: Path, convex: PatientLook) -> None:
    clip = simulate(convex, Findings(a_lines=2, b_lines=2), seed=1, n_frames=6)
    for codec in ("mpeg4", "libx264"):
        write_video(tmp_path / "clip.mp4", clip.frames, 20, codec)
        error = np.abs(decoded(tmp_path / "clip.mp4").astype(int) - clip.frames)
        assert error.mean() < 3, codec
        assert np.percentile(error, 99) < 16, codec


def test_a_seed_gives_the_same_archive(written: Path, tmp_path: Path) -> None:
    arguments = {"n_patients": 2, "clips_per_patient": 3, "n_frames": N_FRAMES}
    write_archive(tmp_path / "same", seed=3, **arguments)
    write_archive(tmp_path / "other", seed=4, **arguments)
    same, other, all_of_them = contents(tmp_path / "same"), contents(tmp_path / "other"), contents(written)
    clips = {name for name in same if name.startswith("clips")}
    assert len(clips) == 6
    assert all(same[name] == all_of_them[name] for name in clips)
    assert not {other[name] for name in clips} & set(all_of_them.values())


def test_a_patient_is_the_same_in_every_archive_of_a_seed(written: Path, labels: list[Row], tmp_path: Path) -> None:
    table = write_archive(tmp_path, n_patients=1, clips_per_patient=2, n_frames=N_FRAMES, seed=3, first_patient=3)
    rows = [row.cells for row in read_table(table)]
    assert rows == [row.cells for row in labels if row["patient_id"] == "synthetic-0003"][:2]
    assert all((tmp_path / row["path"]).read_bytes() == (written / row["path"]).read_bytes() for row in rows)


def test_another_site_is_other_patients(tmp_path: Path, written: Path) -> None:
    table = write_archive(tmp_path, n_patients=2, clips_per_patient=1, n_frames=2, seed=3, site="external")
    rows = read_table(table)
    assert {row["site"] for row in rows} == {"external"}
    assert {row["patient_id"] for row in rows} == {"synthetic-external-0001", "synthetic-external-0002"}


def test_progress_is_told_clip_by_clip(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_archive(
        tmp_path,
        n_patients=2,
        clips_per_patient=2,
        n_frames=1,
        progress=lambda written, total: told.append((written, total)),
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"n_patients": 0}, "at least"),
        ({"clips_per_patient": 0}, "at least"),
        ({"n_frames": 0}, "at least"),
        ({"seed": -1}, "at least"),
        ({"first_patient": -1}, "at least"),
        ({"site": "elsewhere"}, "no synthetic site"),
        ({"clip_format": "avi"}, "no clip format"),
    ],
)
def test_senseless_archives_are_refused_before_anything_is_written(
    tmp_path: Path, wrong: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        write_archive(tmp_path / "out", **{"n_patients": 1, **wrong})
    assert not (tmp_path / "out").exists()


def test_the_command_writes_an_archive(tmp_path: Path) -> None:
    arguments = [str(tmp_path), "--patients", "2", "--clips", "2", "--frames", "2", "--site", "external"]
    result = CliRunner().invoke(command, [*arguments, "--format", "mixed", "--seed", "5", "--first-patient", "7"])
    assert result.exit_code == 0, result.output
    assert "4 synthetic clips of 2 synthetic patients of the site 'external'" in result.output
    assert {path.suffix for path in (tmp_path / "clips").iterdir()} == {".mp4", ".dcm"}
    assert {row["patient_id"] for row in read_table(tmp_path / "labels.csv")} == {
        "synthetic-external-0007",
        "synthetic-external-0008",
    }


def test_the_command_offers_every_site() -> None:
    option = next(parameter for parameter in command.params if parameter.name == "site")
    assert list(option.type.choices) == list(SITES)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize("shape", [(3, 64, 96), (3, 65, 97), (1, 32, 32), (2, 48, 64, 3)])
def test_video_of_any_shape_keeps_it(tmp_path: Path, shape: tuple[int, ...], codec: Any) -> None:
    write_video(tmp_path / "clip.mp4", np.full(shape, 90, np.uint8), 10, codec)
    video = decoded(tmp_path / "clip.mp4")
    assert video.shape == shape[:3]
    assert np.abs(video.astype(int) - 90).max() <= 2


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot lend a process fewer cores")
def test_video_is_the_same_whatever_the_number_of_cores(
    tmp_path: Path, generator: np.random.Generator, codec: Any
) -> None:
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("one core only")
    frames = generator.integers(0, 256, (4, 64, 64), dtype=np.uint8)
    write_video(tmp_path / "many.mp4", frames, 20, codec)
    os.sched_setaffinity(0, {min(cores)})
    try:
        write_video(tmp_path / "one.mp4", frames, 20, codec)
    finally:
        os.sched_setaffinity(0, cores)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "many.mp4").read_bytes()


@pytest.mark.parametrize("name", ["labels.csv", "frames.csv"])
def test_somebody_s_own_table_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("path,b_lines\na.mp4,1\n")
    for force, reason in ((False, "is not empty"), (True, "which would be lost")):
        with pytest.raises(UsageError, match=reason):
            write_archive(tmp_path, n_patients=1, clips_per_patient=1, n_frames=1, force=force)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    (tmp_path / name).unlink()
    for _ in range(2):  # what it wrote itself it writes again
        write_archive(tmp_path, n_patients=1, clips_per_patient=1, n_frames=1, force=True)
