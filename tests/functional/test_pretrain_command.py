"""``lusfx pretrain``: what it prints, how it ends, and that a kill costs minutes and no bit."""

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

import pytest

pytestmark = pytest.mark.slow

pytest.importorskip("torch", reason="pretraining needs torch")
pytest.importorskip("timm", reason="pretraining needs timm")

Lusfx = Callable[..., Any]
TINY = [
    "--architecture",
    "test_efficientnet",
    "--size",
    "64",
    "--batch-size",
    "8",
    "--device",
    "cpu",
    "--threads",
    "1",
]


@pytest.fixture
def sources(archive: Any) -> Path:
    """The label table of a synthetic archive, which names the clips and their patients."""
    path: Path = archive.labels
    return path


def start(sources: Path, out: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    """Start a run without waiting for its end."""
    command = [sys.executable, "-m", "lusfx", "pretrain", str(sources), "--out", str(out), *TINY, *options]
    surroundings = os.environ | {"PYTHONWARNINGS": "error"} | environment
    return subprocess.Popen(command, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def n_checkpoints(out: Path) -> int:
    return len(list((out / "checkpoints").glob("*.json")))


def result_of(out: Path) -> tuple[bytes, str]:
    card = json.loads((out / "encoder" / "encoder.json").read_text())
    return (out / "encoder" / "weights.safetensors").read_bytes(), card["identity"]["weights_sha256"]


def test_a_run_prints_one_line_and_gives_an_encoder(lusfx: Lusfx, sources: Path) -> None:
    run = lusfx("pretrain", sources, "--out", "run", *TINY, "--epochs", 1)
    assert run.code == 0
    assert run.out.count("\n") == 1
    assert run.out.startswith("simclr on test_efficientnet: epoch 1 of 1, loss ")
    extracted = lusfx("extract", sources, "--encoder", "run/encoder", "--cache", "other-cache", "--json")
    assert extracted.code == 0
    assert extracted.json["encoder"] == "test_efficientnet-simclr"
    again = lusfx("pretrain", sources, "--out", "run", *TINY, "--epochs", 2)
    assert (again.code, again.out) == (2, "")
    assert "epochs 1, not 2" in again.err


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--method", "moco"], 2, "--method"),
        (["--architecture", "no_such_net"], 2, "timm knows no model"),
        (["--probe-task", "b-lines"], 2, "go together"),
        (["--weights", "nowhere.safetensors"], 2, "cannot be read"),
    ],
)
def test_mistakes_are_told_in_a_line(
    lusfx_here: Lusfx, sources: Path, tmp_path: Path, options: list[str], code: int, said: str
) -> None:
    tiny = TINY[2:] if "--architecture" in options else TINY
    run = lusfx_here("pretrain", sources, "--out", "run", *tiny, *options)
    assert run.code == code
    assert said in run.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_its_state_on_disk(sources: Path, tmp_path: Path, number: signal.Signals) -> None:
    process = start(sources, tmp_path / "run", "--epochs", "500", "--json")
    wait_for(lambda: n_checkpoints(tmp_path / "run") == 2, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 130, err
    result = json.loads(out)
    assert result["interrupted"]
    newest = max((tmp_path / "run" / "checkpoints").glob("*.json"))
    assert json.loads(newest.read_text())["state"]["state"]["images"] == result["images"]


def test_killed_runs_end_as_one_that_was_not(sources: Path, tmp_path: Path) -> None:
    straight = start(sources, tmp_path / "straight", "--epochs", "4")
    _, err = straight.communicate(timeout=200)
    assert straight.returncode == 0, err
    out = tmp_path / "killed"
    for kill_after in (1, 2):
        process = start(sources, out, "--epochs", "4")
        wait_for(lambda: n_checkpoints(out) >= kill_after, process)  # noqa: B023 - used within the round
        process.kill()
        process.communicate()
    assert not (out / "encoder").exists()
    last = start(sources, out, "--epochs", "4")
    _, err = last.communicate(timeout=200)
    assert last.returncode == 0, err
    assert result_of(out) == result_of(tmp_path / "straight")


def test_two_processes_as_torchrun_starts_them(sources: Path, tmp_path: Path) -> None:
    """The first decodes, writes and speaks; the other is silent."""
    import torch

    # It holds the store, so that the port is taken from the start and by nobody else.
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    held = {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), **held}
    started = [
        start(sources, tmp_path / "run", "--epochs", "1", RANK=str(rank), LOCAL_RANK=str(rank), **place)
        for rank in (0, 1)
    ]
    said = [process.communicate(timeout=200) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert "epoch 1 of 1" in said[0][0]
    assert said[1][0] == ""
    assert (tmp_path / "run" / "encoder" / "encoder.json").exists()


def test_pretraining_goes_on_from_an_encoder(lusfx_here: Lusfx, sources: Path, tmp_path: Path) -> None:
    """From random weights to an encoder that ends at a layer, and from that encoder to the next."""
    common = ["--batch-size", "8", "--device", "cpu", "--threads", "1", "--epochs", "1", "--json"]
    cut = ["--architecture", "test_efficientnet", "--layer", "blocks.2", "--size", "64"]
    first = lusfx_here("pretrain", sources, "--out", "first", *cut, *common, "--licence", "CC0-1.0")
    assert first.code == 0, first.err
    assert first.json["beginning"] == "random weights"
    both = lusfx_here("pretrain", sources, "--out", "next", "--encoder", "first/encoder", *cut, *common)
    assert both.code == 2
    assert "name an --encoder or an --architecture to begin with, not both" in both.err
    assert not (tmp_path / "next").exists()
    following = lusfx_here("pretrain", sources, "--out", "next", "--encoder", "first/encoder", *common)
    assert following.code == 0, following.err
    assert following.json["beginning"].startswith("the encoder test_efficientnet-simclr (weights ")
    assert (following.json["settings"]["layer"], following.json["settings"]["size"]) == ("blocks.2", 64)
    cards = [json.loads((tmp_path / run / "encoder" / "encoder.json").read_text()) for run in ("first", "next")]
    for same in ("layer", "architecture", "mean", "std", "dim"):
        assert cards[0]["identity"][same] == cards[1]["identity"][same], same
    assert cards[1]["licence"] == "CC0-1.0"
    assert cards[0]["identity"]["weights_sha256"] != cards[1]["identity"]["weights_sha256"]
