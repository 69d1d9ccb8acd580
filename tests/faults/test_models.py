"""Task models and encoder directories run no code, read no other file, and are refused where anything was damaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.children import Trial, run_trials
from tests.golden.make import FIRST

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(__import__("os"), "mkfifo"), reason="the trials need named pipes"),
]

SOUND_ANSWERS = frozenset({"refused", "the same"})
LINKED = "link"
"""A link in an encoder directory is followed; the digest decides about what it leads to."""


def is_as_promised(trial: Trial) -> bool:
    """Refused with an error of lusfx, or answered as before. An author who repairs all digests may make another model."""
    if trial.ended != "well":
        return False
    facts = trial.facts
    intended = facts["how"].startswith("intended")
    opened = facts["opened"] and not (facts["target"].startswith("encoder") and facts["how"] == LINKED)
    sound = facts["answer"] in SOUND_ANSWERS or (facts["answer"] == "another" and intended)
    return sound and not facts["forbidden"] and not facts["executed"] and not opened


def test_models_run_no_code_and_read_no_other_file(
    trials: Callable[[int, int], int], measured: Callable[..., None], tmp_path: Path
) -> None:
    n_trials = trials(100, 5000)
    done = list(run_trials("tests.faults.hostile_models", [FIRST.directory, tmp_path], n_trials))
    broken = [trial for trial in done if not is_as_promised(trial)]
    answers = Counter(trial.facts.get("answer", trial.ended) for trial in done)
    assert not broken, broken[:5]
    assert len(done) == n_trials
    assert answers["refused"] > n_trials / 2  # most changes must be noticed, or the trials change nothing
    assert answers["the same"] > 0
    measured("models run no code", {"trials": n_trials, "broken": len(broken), **answers})
