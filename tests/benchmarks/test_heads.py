"""The benchmark of heads, on the least that it can be run on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.heads import measurement
from benchmarks.heads.material import RIVALS, SPECS, draw, features_of, train, train_rival
from benchmarks.heads.plan import PLANS, Plan
from benchmarks.page import page
from benchmarks.timing import Rounds

pytestmark = pytest.mark.slow

pytest.importorskip("torch")
TINY = Plan((100,), (1, 3), (1, 2), (5,), Rounds(1, 1, 0.0), n_features=8)


def test_a_whole_run_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "PLANS", {"small": TINY})
    found = CliRunner().invoke(main, ["heads", "--out", str(tmp_path)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    result = json.loads((tmp_path / "heads.json").read_text())
    assert {(trained["head"], trained["n_rows"]) for trained in result["training"]} == {(kind, 100) for kind in SPECS}
    assert {(call["head"], call["n_rows"]) for call in result["calls"]} == {(k, n) for k in SPECS for n in (1, 3)}
    for call in result["calls"]:
        a_call = {name: spread["median"] for name, spread in call["s_a_call"].items()}
        assert call["times_as_fast"]["median"] == pytest.approx(a_call["rival"] / a_call["lusfx"], rel=1e-3)
        assert call["rows_a_s"]["median"] == pytest.approx(call["n_rows"] / a_call["lusfx"], rel=1e-3)
    for facts in result["scaling"]:
        assert set(facts["answers_a_s"]) == {"1", "2"}
    for rival in RIVALS.values():
        assert rival in found.output
        assert rival in page([result])


@pytest.mark.parametrize(("kind", "alike"), [("logistic", 0.999), ("lightgbm", 0.6)])
def test_a_rival_learns_what_the_head_learns(kind: str, alike: float) -> None:
    """LightGBM draws other features for its trees. The MLP's rival is trained for too few passes to be compared."""
    training = draw(2000, 24)
    ours = train(kind, training).predict_proba(training.features)
    theirs = train_rival(kind, training)(features_of(training))
    assert np.corrcoef(ours[:, 1], theirs[:, 1])[0, 1] > alike


def test_the_full_plan_is_what_the_goals_are_about() -> None:
    plan = PLANS["full"]
    assert plan.n_features == 576
    assert max(plan.train_rows) == 100_000
    assert (min(plan.call_rows), max(plan.task_counts)) == (1, 50)
    assert (min(plan.score_rows), max(plan.score_rows)) == (100, 100_000)
