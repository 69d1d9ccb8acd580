"""An encoder directory whose graph never returns: the run can be stopped, ends by itself, and leaves a sound cache."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lusfx.config import PreprocessSpec
from lusfx.encoders.conversion import make_directory_from_onnx
from lusfx.synth import write_video
from tests.functional.test_extract_processes import decoders_of, wait_until

Lusfx = Callable[..., Any]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes as Linux shows them"),
]
SIZE, DIM = 32, 4


def looping_graph() -> onnx.ModelProto:
    """Some means of each image, times one, for one turn."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["goes"]), helper.make_node("Mul", ["x", "one"], ["product"])],
        "body",
        [value("turn", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("x", TensorProto.FLOAT, None)],
        [value("goes", TensorProto.BOOL, []), value("product", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.float32(1), "one")],
    )
    constants = {"axes": [2], "turns": 1, "true": True, "columns": [0, 1, 2, 3]}
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["grey"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["grey", "axes"], ["rows"], keepdims=0),
            helper.make_node("Gather", ["rows", "columns"], ["means"], axis=1),
            helper.make_node("Loop", ["turns", "true", "means"], ["embeddings"], body=body),
        ],
        "endless",
        [value("images", TensorProto.UINT8, ["n", SIZE, SIZE])],
        [value("embeddings", TensorProto.FLOAT, ["n", DIM])],
        [numpy_helper.from_array(np.array(constant), name) for name, constant in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def make_endless(directory: Path) -> None:
    """Have the loop of an encoder directory turn for ever, and its digests made right: it is tried when it is made."""
    place, card = directory / "encoder.onnx", directory / "encoder.json"
    before = place.read_bytes()
    graph = onnx.load_model_from_string(before)
    (turns,) = [tensor for tensor in graph.graph.initializer if tensor.name == "turns"]
    turns.CopyFrom(numpy_helper.from_array(np.array(2**62), "turns"))
    after = graph.SerializeToString()
    place.write_bytes(after)
    digests = (hashlib.sha256(content).hexdigest() for content in (before, after))
    card.write_text(card.read_text().replace(*digests))


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts an extraction of three clips with this encoder."""
    onnx.save(looping_graph(), tmp_path / "endless.onnx")
    make_directory_from_onnx(
        tmp_path / "endless", tmp_path / "endless.onnx", name="endless", dim=DIM, channels=1, mean=(0.0,), std=(1.0,),
        preprocess=PreprocessSpec(size=SIZE), licence="x", training_data="x", source="a test", model_card="# endless",
    )  # fmt: skip
    make_endless(tmp_path / "endless")
    (tmp_path / "exams").mkdir()
    (tmp_path / "temporary").mkdir()
    for number in range(3):
        frames = np.random.default_rng(number).integers(0, 255, (4, 64, 64)).astype(np.uint8)
        write_video(tmp_path / "exams" / f"{number}.mp4", frames, 20)

    def start(**variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "lusfx",
                "extract",
                "exams",
                "--cache",
                "cache",
                "--encoder",
                "endless",
                "--workers",
                "1",
            ],
            cwd=tmp_path,
            env=os.environ | {"TMPDIR": str(tmp_path / "temporary")} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def processor_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def check_what_is_left(tmp_path: Path, pid: int, lusfx: Lusfx) -> None:
    wait_until(lambda: not decoders_of(pid))
    assert not list((tmp_path / "temporary").glob("lusfx-*"))
    assert lusfx("cache", "verify", "--cache", "cache").code == 0
    assert "3 found = 3 encoded" in lusfx("extract", "exams", "--cache", "cache").out


@pytest.mark.parametrize("n_signals", [1, 2])
def test_it_is_ended_by_signals(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, lusfx: Lusfx, n_signals: int
) -> None:
    process = start()
    wait_until(lambda: list((tmp_path / "cache" / "runs").glob("*")) and processor_s(process.pid) > 6)
    for number in (signal.SIGINT, signal.SIGTERM)[:n_signals]:
        process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert n_signals == 2 or "3 not reached (interrupted)" in out
    check_what_is_left(tmp_path, process.pid, lusfx)


def test_it_is_given_up_in_time(start: Callable[..., subprocess.Popen[str]], tmp_path: Path, lusfx: Lusfx) -> None:
    process = start(LUSFX_ENCODER_TIMEOUT_S="2")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert out == ""
    assert err.startswith("Error: encoder endless has not answered for 2 s.")
    assert err.count("\n") == 1
    check_what_is_left(tmp_path, process.pid, lusfx)
