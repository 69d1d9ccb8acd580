"""``lusfx extract`` with decoding processes: hostile files, kills, shards and the profile."""

from __future__ import annotations

import json
import os
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
from lusfx.engine.extraction.sources import Shard
from lusfx.errors import UsageError
from lusfx.synth import write_video
from tests.engine.extraction.decoding.conftest import install_script_reader

Lusfx = Callable[..., Any]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="decoding processes are POSIX")]


@pytest.fixture(autouse=True)
def two_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUSFX_WORKERS", "2")


@pytest.fixture
def exams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; a plugin is installed that reads scripts."""
    site = tmp_path / "site"
    site.mkdir()
    install_script_reader(site)
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    (tmp_path / "exams").mkdir()
    return tmp_path / "exams"


def write_clips(folder: Path, n: int, n_frames: int = 3) -> None:
    for number in range(n):
        frames = np.random.default_rng(number).integers(0, 255, (n_frames, 64, 64)).astype(np.uint8)
        write_video(folder / f"{number}.mp4", frames, 20)


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lusfx", "extract", "exams", "--cache", "cache", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def decoders_of(pid: int) -> list[int]:
    """Decoding processes that a run with this process id started: it is their last argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"lusfx.engine.extraction.decoding.worker" in words and str(pid).encode() in words:
            found.append(int(path.parent.name))
    return found


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_files_that_kill_freeze_and_flood_decoders_cost_themselves_only(
    lusfx: Lusfx, exams: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUSFX_DECODER_TIMEOUT_S", "10")  # sound clips need a hundredth of it
    monkeypatch.setenv("LUSFX_DECODER_MEMORY_MB", "300")
    write_clips(exams, 3)
    for name, script in {"a": "1 segfault", "b": "2 spin", "c": "3 gorge", "d": "4 print raise"}.items():
        (exams / f"CANARY_{name}.script").write_text(script)
    run = lusfx("extract", "exams", "--cache", "cache", "--json")
    assert run.code == 3
    assert (run.json["encoded"], run.json["failed"]) == (3, 4)
    codes = sorted(trouble["code"] for trouble in run.json["troubles"])
    assert codes == ["decoder-died", "out-of-memory", "reader-error", "timed-out"]
    (ledger,) = Cache.open(tmp_path / "cache").ledgers()
    assert sorted(entry.code for entry in read_ledger(ledger).entries if entry.code) == codes
    assert "CANARY" not in run.out + run.err
    assert "SECRET" not in run.out + run.err


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes as Linux shows them")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_a_run_ends_its_decoders_end_too(exams: Path, tmp_path: Path, number: signal.Signals) -> None:
    (exams / "a.script").write_text("tell spin")  # a decoder that listens to nobody
    (exams / "b.script").write_text("tell hang")
    process = start(tmp_path)
    wait_until(lambda: len(list(exams.glob("*.pid"))) == 2)
    assert len(decoders_of(process.pid)) == 2
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode == (-number if number == signal.SIGKILL else 130)
    wait_until(lambda: not decoders_of(process.pid))
    assert not list((tmp_path / "cache").rglob(".tmp-*"))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes as Linux shows them")
def test_decoders_that_are_killed_cost_a_clip_each(exams: Path, tmp_path: Path) -> None:
    write_clips(exams, 2)
    (exams / "a.script").write_text("tell hang")
    process = start(tmp_path, "--json", "--workers", "1")
    wait_until(lambda: list(exams.glob("*.pid")))
    for pid in decoders_of(process.pid):
        os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    facts = json.loads(out)
    assert (facts["encoded"], [trouble["code"] for trouble in facts["troubles"]]) == (2, ["decoder-died"])


def test_a_reader_that_listens_to_a_closed_pipe_ends(exams: Path, tmp_path: Path) -> None:
    """``lusfx extract ... | head -0``: whoever reads the output is gone before it comes."""
    write_clips(exams, 1)
    process = start(tmp_path, "--json")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    process.communicate(timeout=120)
    assert process.returncode != 0
    assert decoders_of(process.pid) == []


def test_shards_are_disjoint_and_together_everything(lusfx_here: Lusfx, exams: Path) -> None:
    write_clips(exams, 9)
    runs = [
        lusfx_here("extract", "exams", "--cache", "cache", "--shard", f"{i}/3", "--json", "--workers", 0)
        for i in (1, 2, 3)
    ]
    assert [run.code for run in runs] == [0, 0, 0]
    assert sum(run.json["found"] for run in runs) == sum(run.json["encoded"] for run in runs) == 9
    assert [run.json["found"] + run.json["other_shards"] for run in runs] == [9, 9, 9]
    whole = lusfx_here("extract", "exams", "--cache", "cache", "--shard", "1/1")
    assert "shard 1/1: 9 found = 0 encoded + 9 cached" in whole.out
    assert "0 in other shards" in whole.out


def test_a_shard_does_not_depend_on_what_else_is_there() -> None:
    paths = [Path(f"/archive/{number}.mp4") for number in range(600)]
    shards = [Shard(number, 4) for number in range(1, 5)]
    held = [{path for path in paths if shard.holds(path)} for shard in shards]
    assert sum(map(len, held)) == len(set.union(*held)) == 600
    assert min(map(len, held)) > 100
    assert paths[0] in held[2]  # of the SHA-256 of its path, wherever this runs


@pytest.mark.parametrize("shard", [(0, 3), (4, 3), (1, 0)])
def test_a_shard_that_there_is_not_is_refused(shard: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="no shard"):
        Shard(*shard)


@pytest.mark.parametrize("words", [("--shard", "3"), ("--shard", "a/b"), ("--shard", "4/3"), ("--workers", "-1")])
def test_options_that_make_no_sense_are_usage_errors(lusfx_here: Lusfx, exams: Path, words: tuple[str, ...]) -> None:
    assert lusfx_here("extract", "exams", "--cache", "cache", *words).code == 2


@pytest.mark.parametrize(
    "name", ["LUSFX_WORKERS", "LUSFX_DECODER_MEMORY_MB", "LUSFX_DECODER_TIMEOUT_S", "LUSFX_ENCODER_TIMEOUT_S"]
)
def test_an_environment_that_makes_no_sense_is_a_usage_error(
    lusfx_here: Lusfx, exams: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "many")
    run = lusfx_here("extract", "exams", "--cache", "cache")
    assert run.code == 2
    assert name in run.err


def test_the_profile_says_where_the_time_went(lusfx_here: Lusfx, exams: Path) -> None:
    write_clips(exams, 2)
    told = lusfx_here("extract", "exams", "--cache", "cache", "--profile")
    assert "the bottleneck is" in told.out
    for stage in ("hashing", "decoding", "beam", "preparing", "encoding", "writing", "ledger", "waiting"):
        assert f"\n{stage} " in told.out
    facts = lusfx_here("extract", "exams", "--cache", "other", "--profile", "--json").json["profile"]
    assert facts["bottleneck"] in facts["busy"]
    assert "profile" not in lusfx_here("extract", "exams", "--cache", "other", "--json").json


def test_a_file_that_kills_the_decoder_of_inspect_is_one_line(lusfx: Lusfx, exams: Path, tmp_path: Path) -> None:
    (exams / "CANARY.script").write_text("1 segfault")
    run = lusfx("inspect", exams / "CANARY.script", "--out", "picture.png", "--frame", 1)
    assert run.code == 1
    assert run.err.count("\n") == 1
    assert "(decoder-died)" in run.err
    assert "CANARY" not in run.out + run.err
    assert not (tmp_path / "picture.png").exists()
