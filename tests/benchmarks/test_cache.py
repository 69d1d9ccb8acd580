"""The benchmark of the cache, on the least that it can be run on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.cache import measurement
from benchmarks.cache.plan import PLANS, Plan
from benchmarks.cache.reading import MEMORY_MAP, PACKS
from benchmarks.page import page
from benchmarks.timing import Rounds

pytestmark = pytest.mark.slow

ONCE = Rounds(1, 1, 0.0)
TINY = Plan((3, 5), 4, 2, 6, ONCE, ONCE, ONCE, ONCE, frames=2, dim=4)


def test_a_whole_run_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "PLANS", {"small": TINY})
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    found = CliRunner().invoke(main, ["cache", "--out", str(tmp_path)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    result = json.loads((tmp_path / "cache.json").read_text())
    assert [archive["n_clips"] for archive in result["archives"]] == [3, 5]
    for archive in result["archives"]:
        assert archive["seconds_a_clip"].keys() == {PACKS, MEMORY_MAP}
        assert archive["times_as_long"].keys() == {PACKS}
    assert len(result["files"]["seconds_a_clip"]) == 4
    assert len(result["writing"]["seconds_a_clip"]) == 3
    assert "6 files that have not changed" in found.output
    assert "of the rate of a plain memory map" in page([result])


def test_the_full_plan_is_what_was_asked_for() -> None:
    plan = PLANS["full"]
    assert (plan.clip_counts[0], plan.clip_counts[-1]) == (100, 100_000)
    assert (plan.frames, plan.dim, plan.rerun_files) == (32, 320, 100_000)


@pytest.mark.parametrize(
    ("longer", "words"), [(1.9, "53% of the rate of a plain memory map; 50% is reached"), (2.1, "48%")]
)
def test_a_goal_is_told_as_it_is(longer: float, words: str) -> None:
    spread = {"median": longer, "q1": longer, "q3": longer, "least": longer, "n": 1}
    result = {
        "archives": [{"n_clips": 100, "times_as_long": {PACKS: spread}}],
        "rerun": {"n_files": 100_000, "seconds": {measurement.RERUN: spread | {"median": 61.0}}},
    }
    from benchmarks.cache.section import _goals

    assert words in _goals(result)
    assert ("50% is not reached" in _goals(result)) == (longer > 2)
    assert "61.0 s; 60 s is not reached" in _goals(result)
