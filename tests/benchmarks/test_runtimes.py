"""The benchmark of runtimes, on the least that it can be run on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.page import page
from benchmarks.runtimes import measurement
from benchmarks.runtimes.measurement import RIVAL, WAYS
from benchmarks.runtimes.plan import PLANS, Plan
from benchmarks.timing import Rounds
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.encoders.runtime import Chosen
from lusfx.errors import EncoderError

pytestmark = pytest.mark.slow

pytest.importorskip("timm")
TINY = Plan((DEFAULT_ENCODER,), (1, 2), (1,), 8, Rounds(1, 1, 0.0))


def test_a_whole_run_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "PLANS", {"small": TINY})
    load = Chosen.load

    def without_onnx_runtime(self: Chosen, *given: object) -> object:
        if self.library == "onnxruntime":
            raise EncoderError("it is out of order")
        return load(self, *given)

    monkeypatch.setattr(Chosen, "load", without_onnx_runtime)
    found = CliRunner().invoke(main, ["runtimes", "--out", str(tmp_path)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    result = json.loads((tmp_path / "runtimes.json").read_text())
    (subject,) = result["subjects"]
    here = set(WAYS["cpu"]) - set(subject["not_here"])
    assert subject["not_here"]["ONNX Runtime float32"] == "it is out of order"
    assert RIVAL in here
    assert [(timing["threads"], timing["batch_size"]) for timing in subject["timings"]] == [(1, 1), (1, 2)]
    for timing in subject["timings"]:
        assert set(timing["s_a_frame"]) == here
        assert set(timing["times_as_fast"]) == here - {RIVAL}
    for name, distance in subject["distance_from_rival"].items():
        exact = name.endswith("float32")
        assert (distance["relative_largest"] < 1e-4) == exact
        assert distance["relative_largest"] < 0.3
        assert (distance["centred_cosine_least"] > 0.9999) == exact
    assert "it is out of order" in found.output
    assert f"`{result['command']}`" in page([result])


def test_the_full_plan_has_batches_from_1_to_64_on_one_and_two_threads() -> None:
    assert PLANS["full"].batch_sizes[0] == 1
    assert PLANS["full"].batch_sizes[-1] == 64
    assert PLANS["full"].threads == (1, 2)
    assert "timm/mobilenetv3_large_100" in PLANS["full"].encoders
