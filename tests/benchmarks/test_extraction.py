"""The benchmark of extraction, on the least that it can be run on."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.clips import draw_clips
from benchmarks.extraction import measurement
from benchmarks.extraction.material import gather
from benchmarks.extraction.plan import PLANS, Plan, title
from benchmarks.extraction.rivals import EAGER, PLAIN, plain_loop
from benchmarks.extraction.section import _goals
from benchmarks.page import page
from benchmarks.pyav_frames import resized_by_pillow
from benchmarks.request import Request
from benchmarks.timing import Rounds
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.engine.extraction.extract import BATCH_SIZE
from lusfx.errors import UsageError
from lusfx.synth import write_video

pytestmark = pytest.mark.slow

pytest.importorskip("timm")
TINY = Plan((DEFAULT_ENCODER,), 2, 3, 1, Rounds(1, 1, 0.0), starts=1, workers=(0, 1), batch_sizes=(2,))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a whole run by the command."""
    out = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measurement, "PLANS", {"small": TINY})
        patch.setenv("LUSFX_WORKERS", "1")
        words = ["extraction", "--threads", "1", "--out", str(out)]
        found = CliRunner().invoke(main, words, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    kept: dict[str, Any] = json.loads((out / "extraction.json").read_text())
    assert kept["rivals"][PLAIN] in found.output
    return kept


def test_every_way_is_measured_and_compared(result: dict[str, Any]) -> None:
    (subject,) = result["subjects"]
    ways = set(subject["frames_a_s"])
    pipelines = {title(0, BATCH_SIZE), title(1, BATCH_SIZE), title(1, 2)}
    assert ways >= {PLAIN, EAGER, "encoder alone", "one decoder alone", "whole extraction"} | pipelines
    sampled = "whole extraction of every fourth frame"
    assert set(subject["share_of_bound"]) == ways - {"encoder alone", "one decoder alone", sampled}
    assert subject["frames_a_s"][sampled]["median"] > 0
    gains = subject["frames_a_s"][sampled]["median"] / subject["frames_a_s"]["whole extraction"]["median"]
    assert subject["sampling_gain"]["median"] == pytest.approx(gains, rel=0.01)
    assert subject["times_the_plain_loop"][PLAIN]["median"] == 1
    assert all(rate["median"] > 0 for rate in subject["frames_a_s"].values())
    assert subject["writing_cost"]["median"] < 1
    assert result["as_command"]["first_embedding_s"]["n"] == 1


def test_the_page_says_what_was_reached_and_what_was_not(result: dict[str, Any]) -> None:
    good = copy.deepcopy(result)
    (subject,) = good["subjects"]
    way = title(1, BATCH_SIZE)
    subject["times_the_plain_loop"][way]["median"] = 5.0
    subject["share_of_bound"][way]["median"] = 0.899
    subject["writing_cost"]["median"] = 0.06
    subject["sampling_gain"]["median"] = 2.04
    good["as_command"]["first_embedding_s"]["median"] = 1.49
    text = page([good])
    assert "float32: 5.0 times the plain loop, reached; 90% of the bound, not reached" in text
    assert "writing costs 6.0% of the time, not reached" in text
    assert "every fourth frame (`--fps`) takes a clip 2.0 times as fast as all, reached" in text
    del subject["sampling_gain"]  # as in results that were kept before there was such a way
    assert "every fourth" not in _goals(good)
    assert "first embedding after 1.49 s, reached" in text
    assert f"`{result['command']}`" in text


def test_the_bound_adds_the_times_of_one_processor_and_takes_the_slower_of_two() -> None:
    rates = {"encoder alone": [100.0], "one decoder alone": [50.0]}
    assert measurement._bound(rates, "cpu", 1, 0) == [pytest.approx(100 / 3)]
    assert measurement._bound(rates, "cpu", 2, 0) == [pytest.approx(50)]
    assert measurement._bound(rates, "cpu", 2, 1) == [pytest.approx(200 / 3)]
    assert measurement._bound(rates, "cpu", 16, 1) == [100.0]
    assert measurement._bound(rates, "cuda", 1, 0) == [50.0]


def test_a_rival_encodes_every_frame(tmp_path: Path) -> None:
    clips = draw_clips(tmp_path / "archive", 2, 5)
    batches: list[int] = []

    def compute(images: np.ndarray) -> np.ndarray:
        batches.append(len(images))
        assert images.dtype == np.uint8
        assert images.shape[1:] == (32, 32)
        return np.zeros((len(images), 4), np.float32)

    assert plain_loop(clips, 32, 1, compute) == plain_loop(clips, 32, 3, compute) == 10
    assert batches == [1] * 10 + [3, 2, 3, 2]
    assert len({image.tobytes() for image in resized_by_pillow(clips[0], 32)}) == 5


def test_clips_that_are_given_are_of_one_size_and_lose_their_names(tmp_path: Path) -> None:
    given = tmp_path / "given"
    for name, side in (("a", 96), ("b", 64), ("c", 64), ("d", 64)):
        frames = np.random.default_rng(side).integers(0, 255, (5, side, side)).astype(np.uint8)
        (given / name).mkdir(parents=True)
        write_video(given / name / "WILLIAMS.mp4", frames, 20)
    plan = replace(TINY, n_clips=2, rival_clips=1)
    material = gather(plan, tmp_path, given)
    assert [clip.read_bytes() for clip in material.clips] == [
        (given / name / "WILLIAMS.mp4").read_bytes() for name in ("b", "c")
    ]
    assert not any("WILLIAMS" in str(clip) for clip in material.clips)
    assert material.rival_clips == material.clips[:1]
    assert material.as_dict() == {
        "given": True, "clips": 2, "frames": 10, "width": 64, "height": 64, "rival_clips": 1, "rival_frames": 5
    }  # fmt: skip
    with pytest.raises(UsageError, match="2 videos of one frame size are needed, and there are 1"):
        gather(plan, tmp_path, given / "a")


def test_encoders_that_are_named_take_the_place_of_the_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Plan] = []
    monkeypatch.setattr(measurement, "run", lambda plan, request: asked.append(plan) or {})
    request = Request("full", "cpu", 0, ("efficientnet-lite0",), lambda text: None)
    measurement.measure(request)
    measurement.measure(replace(request, encoders=()))
    assert [plan.encoders for plan in asked] == [("efficientnet-lite0",), PLANS["full"].encoders]
    assert "timm/mobilenetv3_large_100" in PLANS["full"].encoders
