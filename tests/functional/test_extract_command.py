"""``lusfx extract``: bad files, interruptions, and what is told of whom."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.cache import Cache, read_ledger
from lusfx.synth import write_video

pytestmark = pytest.mark.slow

Lusfx = Callable[..., Any]


def good_clip(path: Path, seed: int = 0, n_frames: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.random.default_rng(seed).integers(0, 255, (n_frames, 64, 64)).astype(np.uint8)
    write_video(path, frames, 20)


@pytest.fixture(autouse=True)
def decoding_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the command decodes by default."""
    monkeypatch.delenv("LUSFX_WORKERS")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Good clips among bad files, and names that must not be told."""
    folder = tmp_path / "CANARY_Jane_Doe"
    for number in range(3):
        good_clip(folder / f"CANARY_{number}.mp4", number)
    (folder / "text.mp4").write_text("not a video, CANARY")
    (folder / "empty.avi").write_bytes(b"")
    (folder / "cut.mp4").write_bytes((folder / "CANARY_0.mp4").read_bytes()[:400])
    (folder / "still.png").write_bytes(b"\x89PNG\r\n\x1a\n CANARY")
    (folder / "notes.txt").write_text("CANARY")
    (folder / ".hidden.mp4").write_text("x")
    (folder / "no_ending").write_bytes(b"\0" * 128 + b"DICM CANARY")
    shutil.copy(folder / "CANARY_1.mp4", folder / "copy.mp4")
    return folder


def test_a_bad_file_never_stops_the_others(lusfx: Lusfx, mixed: Path, tmp_path: Path) -> None:
    run = lusfx("extract", mixed, "--cache", "cache", "--json")
    assert run.code == 3
    facts = run.json
    assert (facts["found"], facts["encoded"], facts["cached"], facts["failed"], facts["skipped"]) == (10, 3, 1, 6, 0)
    assert facts["not_clips"] == 1
    assert sorted(trouble["code"] for trouble in facts["troubles"]) == [
        "damaged", "damaged", "damaged", "empty-file", "not-a-video", "not-a-video",
    ]  # fmt: skip
    (ledger,) = Cache.open(tmp_path / "cache").ledgers()
    content = read_ledger(ledger)
    assert content.totals is not None
    assert content.totals["discovered"] == 10
    failed = {entry.source: entry.code for entry in content.entries if entry.status == "failed"}
    assert failed == {trouble["source"]: trouble["code"] for trouble in facts["troubles"]}


def test_the_closing_line_adds_up(lusfx: Lusfx, mixed: Path) -> None:
    run = lusfx("extract", mixed, "--cache", "cache")
    assert "10 found = 3 encoded + 1 cached + 6 failed + 0 skipped" in run.out
    assert "1 other file in these folders is no clip" in run.out


def test_names_are_told_only_when_asked_for(lusfx: Lusfx, mixed: Path, tmp_path: Path) -> None:
    run = lusfx("extract", mixed, "--cache", "cache")
    again = lusfx("extract", mixed, "--cache", "cache", "--json")
    assert "CANARY" not in run.out + run.err + again.out + again.err
    for path in (tmp_path / "cache").rglob("*"):
        assert "CANARY" not in path.name
        if path.is_file():
            assert b"CANARY" not in path.read_bytes()
            assert str(tmp_path).encode() not in path.read_bytes()
    shown = lusfx("extract", mixed, "--cache", "cache", "--show-paths")
    assert "text.mp4" in shown.err


def test_a_manifest_names_clips_by_row(lusfx: Lusfx, mixed: Path, tmp_path: Path) -> None:
    with (mixed / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [
                ("path", "patient_id", "exam_id", "zone"),
                ("CANARY_0.mp4", "CANARY7", "E1", "L1"),
                ("gone.mp4", "8", "", ""),
            ]
        )
    run = lusfx("extract", mixed / "manifest.csv", "--cache", "cache")
    assert run.code == 3
    assert "failed: row 2" in run.err
    (member,) = Cache.open(tmp_path / "cache").memberships().values()
    assert member.zone == "L1"
    assert member.patient is not None
    assert "CANARY" not in json.dumps([member.patient, member.exam])


def test_folders_files_and_manifests_may_be_mixed(lusfx: Lusfx, tmp_path: Path) -> None:
    good_clip(tmp_path / "a" / "1.mp4", 1)
    good_clip(tmp_path / "b" / "2.mp4", 2)
    good_clip(tmp_path / "3.mp4", 3)
    (tmp_path / "b" / "m.csv").write_text("path\n2.mp4\n../a/1.mp4\n")
    run = lusfx("extract", "a", "b/m.csv", "3.mp4", "--cache", "cache", "--json")
    assert run.code == 0
    assert (run.json["found"], run.json["encoded"]) == (3, 3)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_link_out_of_the_folder_is_not_followed(lusfx: Lusfx, tmp_path: Path) -> None:
    good_clip(tmp_path / "outside.mp4")
    (tmp_path / "exams").mkdir()
    (tmp_path / "exams" / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    (tmp_path / "exams" / "loop").symlink_to(tmp_path / "exams")
    run = lusfx("extract", "exams", "--cache", "cache", "--json")
    assert run.code == 1  # nothing came of what was asked
    assert [trouble["code"] for trouble in run.json["troubles"]] == ["link-leaves-folder"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("missing", "--cache", "cache"), 2, "source 1 of 1 does not exist"),
        ((".", "--cache", "cache", "--encoder", "nonsense"), 2, "unknown encoder 'nonsense'"),
        ((".", "--cache", "."), 1, "neither empty nor a cache"),
        ((".", "--cache", "cache", "--device", "cuda"), 1, "--device cpu"),
    ],
)
def test_errors_say_what_and_the_next_step(
    lusfx: Lusfx, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "file.txt").write_text("x")
    run = lusfx("extract", *arguments)
    assert run.code == code
    assert message in run.err


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lusfx", "extract", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_a_clip(cache: Path, at_least: int = 1) -> None:
    deadline = time.monotonic() + 120
    while len(list(cache.rglob("*.h5"))) < at_least:
        assert time.monotonic() < deadline, "no clip was written within two minutes"
        time.sleep(0.02)


@pytest.fixture
def long_archive(tmp_path: Path) -> Path:
    for number in range(12):
        good_clip(tmp_path / "exams" / f"{number:02}.mp4", number, n_frames=60)
    return tmp_path / "exams"


@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_soon_and_the_next_goes_on(
    lusfx: Lusfx, long_archive: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = start(tmp_path, "exams", "--cache", "cache", "--json")
    wait_for_a_clip(tmp_path / "cache")
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    facts = json.loads(out)
    assert facts["not_reached"] > 0
    assert facts["found"] == facts["encoded"] + facts["not_reached"]
    assert not list((tmp_path / "cache").rglob(".tmp-*"))
    again = lusfx("extract", "exams", "--cache", "cache", "--json")
    assert (again.json["cached"], again.json["encoded"]) == (facts["encoded"], 12 - facts["encoded"])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_runs_lose_nothing_and_end_in_the_same_cache(lusfx: Lusfx, long_archive: Path, tmp_path: Path) -> None:
    for round_number in range(4):
        process = start(tmp_path, "exams", "--cache", "cache")
        wait_for_a_clip(tmp_path / "cache", 2 * round_number + 1)
        process.kill()
        process.communicate()
    assert lusfx("extract", "exams", "--cache", "cache").code == 0
    assert lusfx("extract", "exams", "--cache", "clean").code == 0
    killed, clean = (Cache.open(tmp_path / name).stores()[0] for name in ("cache", "clean"))
    assert killed.keys() == clean.keys()
    for key in clean.keys():  # noqa: SIM118 - a store is no dictionary
        # Their frames came in other batches; embeddings are kept in half precision, of which one step is allowed.
        found, expected = (store.read(key).embeddings.astype(np.float32) for store in (killed, clean))
        np.testing.assert_allclose(found, expected, rtol=2**-10, atol=2**-10 * np.abs(expected).max())
    assert lusfx("cache", "verify", "--cache", "cache").code == 0


def test_two_extractions_at_once_share_a_cache(lusfx: Lusfx, long_archive: Path, tmp_path: Path) -> None:
    runs = [start(tmp_path, "exams", "--cache", "cache", "--json") for _ in range(2)]
    for process in runs:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        facts = json.loads(out)
        assert facts["encoded"] + facts["cached"] == 12
    assert lusfx("cache", "verify", "--cache", "cache").code == 0
    assert len(list((tmp_path / "cache").rglob("*.h5"))) == 12


@pytest.mark.real_data
def test_real_clips_go_through(lusfx: Lusfx, shared_data: Path, tmp_path: Path) -> None:
    """A clip of every kind; all 311 are extracted by the command in docs/results.md."""
    kinds: dict[str, Path] = {}
    for path in sorted((shared_data / "pocus").rglob("*.*")):
        if path.suffix not in (".csv", ".md") and path.stat().st_size < 800_000:
            kinds.setdefault(path.suffix.lower(), path)
    run = lusfx("extract", *kinds.values(), "--cache", "cache", "--json")
    assert run.code == 0
    assert run.json["encoded"] == len(kinds) >= 6
