"""Any number of runs may share one cache, and they need no locks."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.children import run_trials

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the trials fork, and use a way of SQLite's that Unix has"),
]


def test_runs_side_by_side_need_no_locks(
    trials: Callable[[int, int], int], measured: Callable[..., None], tmp_path: Path
) -> None:
    n_rounds = trials(1, 100)
    done = list(run_trials("tests.faults.side_by_side", [tmp_path], n_rounds, longest_s=240))
    broken = [trial for trial in done if trial.ended != "well" or trial.facts["problems"]]
    assert not broken, broken[:5]
    assert len(done) == n_rounds
    facts = [trial.facts for trial in done]
    measured(
        "workers need no locks",
        {
            "rounds": n_rounds,
            "runs": sum(one["runs"] for one in facts),
            "packings": sum(one["packing"] for one in facts),
            "locks": dict(Counter(one["locks"] for one in facts)),
            "wrong": len(broken),
        },
    )
