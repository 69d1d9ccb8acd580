"""No damage to a cache passes unseen: what is read is what was written, or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.children import run_trials

pytestmark = pytest.mark.slow

ROW = "no silent corruption"


def test_no_damage_to_a_cache_passes_unseen(
    trials: Callable[[int, int], int], measured: Callable[..., None], tmp_path: Path
) -> None:
    n_trials = trials(63, 10_000)
    done = list(run_trials("tests.faults.flips", [tmp_path], n_trials))
    broken = [trial for trial in done if trial.ended != "well" or trial.facts["problems"]]
    assert not broken, broken[:5]
    facts = [trial.facts for trial in done]
    assert len(facts) == n_trials
    kinds = Counter(one["kind"] for one in facts)
    n_repaired = sum(one["repaired"] for one in facts)
    assert len(kinds) == 7
    assert n_repaired
    measured(
        ROW,
        {
            "trials": n_trials,
            "bits": sum(one["way"] == "bit" for one in facts),
            "kinds": dict(sorted(kinds.items())),
            "noticed": sum(one["noticed"] for one in facts),
            "silent": len(broken),
            "repaired": n_repaired,
        },
    )
