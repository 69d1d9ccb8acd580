"""A cache from a stranger: whatever lies in the place of a file or directory stops nothing, and leads nowhere else."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.children import run_trials
from tests.faults.hostile_caches import N_TRIALS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here"),
]


def test_what_lies_in_the_place_of_a_file_stops_nothing(measured: Callable[..., None], tmp_path: Path) -> None:
    done = list(run_trials("tests.faults.hostile_caches", [tmp_path], N_TRIALS, longest_s=60))
    broken = [trial for trial in done if trial.ended != "well" or trial.facts["problems"]]
    assert not broken, broken[:5]
    facts = [trial.facts for trial in done]
    assert len(facts) == N_TRIALS
    measured(
        "hostile caches",
        {
            "trials": N_TRIALS,
            "plants": dict(sorted(Counter(one["plant"] for one in facts).items())),
            "places": len({one["place"] for one in facts}),
            "problems": len(broken),
        },
    )
