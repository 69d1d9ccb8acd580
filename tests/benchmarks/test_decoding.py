"""The benchmark of decoding, on the least that it can be run on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.decoding import dicom, measurement
from benchmarks.decoding.plan import PLANS, Plan
from benchmarks.page import page
from benchmarks.timing import Rounds

pytestmark = pytest.mark.slow

TINY = Plan(4, 2, Rounds(1, 1, 0.0))


def test_a_whole_run_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "PLANS", {"small": TINY})
    found = CliRunner().invoke(main, ["decoding", "--out", str(tmp_path)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    result = json.loads((tmp_path / "decoding.json").read_text())
    assert {(facts["syntax"], facts["look"]) for facts in result["dicom"]} == {
        (syntax, look) for syntax in dicom.SYNTAXES for look in dicom.TINTS
    }
    for facts in result["dicom"]:
        assert facts["n_frames"] == 2
        assert facts["largest_difference_grey_levels"] <= dicom.SAME_WITHIN
        a_frame = {name: spread["median"] for name, spread in facts["s_a_frame"].items()}
        assert set(facts["times_as_fast"]) == {"pydicom", dicom.ALONE} if facts["syntax"] == "RLE" else {"pydicom"}
        for rival, times in facts["times_as_fast"].items():
            assert times["median"] == pytest.approx(a_frame[rival] / a_frame["lusfx"], rel=1e-3)
    video = result["video"]
    assert video["n_frames"] == 4
    assert 0 < video["beam_share"]["median"] < video["beam_share_before_encoding"]["median"]
    for rival in result["rivals"].values():
        assert rival in found.output
        assert rival in page([result])
    assert f"{100 * video['beam_share']['median']:.1f}%" in found.output


def test_frames_that_differ_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = dicom.by_pydicom
    monkeypatch.setattr(dicom, "by_pydicom", lambda *given: [frame // 2 for frame in honest(*given)])
    with pytest.raises(dicom.UnequalFramesError, match="grey levels apart"):
        dicom.compare(2, Rounds(1, 1, 0.0), tmp_path, lambda text: None)


def test_the_same_clip_is_drawn_again() -> None:
    one, other = (dicom.draw(2).frames for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_the_full_plan_is_longer() -> None:
    assert PLANS["full"].rounds.fewest > PLANS["small"].rounds.fewest
    assert PLANS["full"].dicom_frames > PLANS["small"].dicom_frames
