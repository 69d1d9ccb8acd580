"""Nothing that was acknowledged is lost, whatever ends a run; and who is asked to stop stops, and leaves nothing behind."""

from __future__ import annotations

import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.children import run_trials

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the trials look for processes as Linux shows them"),
]

AT_ONCE_S = 2.0
Facts = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, trials: Callable[[int, int], int]) -> Facts:
    """What the trials of each plan told, none of which shows a problem."""
    plans = {
        "extract": trials(4, 600),
        "pack": trials(3, 350),
        "signals": trials(3, 200),
        "workers": trials(0, 50),
        "long": trials(2, 100),
        "decoders": trials(1, 50),
    }
    schedule = ",".join(f"{plan}*{count}" for plan, count in plans.items())
    work = tmp_path_factory.mktemp("ended")
    done = list(
        run_trials(
            "tests.faults.ended_runs", [work, schedule], sum(plans.values()), longest_s=240, n_children=trials(1, 2)
        )
    )
    broken = [trial for trial in done if trial.ended != "well" or trial.facts["problems"]]
    assert not broken, broken[:5]
    facts: Facts = defaultdict(list)
    for trial in done:
        facts[trial.facts["plan"]].append(trial.facts)
    assert {plan: len(facts[plan]) for plan in plans} == plans
    return facts


def test_nothing_that_was_acknowledged_is_lost(ended: Facts, measured: Callable[..., None]) -> None:
    everything = [one for plan in ("extract", "pack", "workers", "long") for one in ended[plan]]
    killed = Counter(one["plan"] for one in everything if one["killed"])
    assert killed.total() > len(everything) / 2
    at_call = sum(one["killed"] and one["way"] == "call" for one in everything)
    measured(
        "nothing acknowledged is lost",
        {"runs": len(everything), "killed": dict(killed), "at a call": at_call, "lost": 0},
    )


def test_little_is_done_again(ended: Facts, measured: Callable[..., None]) -> None:
    """Each trial holds the bound that the pipeline's queues have; these are the figures."""
    killed = {
        "short": [one for plan in ("extract", "workers") for one in ended[plan] if one["killed"]],
        "long": [one for one in ended["long"] if one["killed"]],
    }
    figures: dict[str, object] = {}
    for kind, runs in killed.items():
        assert runs
        figures[kind] = {"runs": len(runs), "frames": runs[0]["frames"], "clips": runs[0]["clips"]} | {
            what: {"most": max(counts), "median": statistics.median(counts)}
            for what in ("begun again", "encoded again")
            if (counts := [one[what] for one in runs])
        }
    measured("what a killed run has to do again", figures)


def test_a_run_survives_its_decoding_process(ended: Facts, measured: Callable[..., None]) -> None:
    done = ended["decoders"]
    killed = [one for one in done if one["killed"]]
    assert killed
    measured(
        "killed decoding processes",
        {"runs": len(done), "killed": len(killed), "failed": sum(one["failed"] for one in done)},
    )


def test_a_run_that_is_asked_to_stop_stops(ended: Facts, measured: Callable[..., None]) -> None:
    done = ended["signals"]
    codes = Counter(one["code"] for one in done)
    assert codes[130]
    measured(
        "asked to stop",
        {
            "signals": len(done),
            "with a decoding process": sum(one["workers"] for one in done),
            "stopped": codes[130],
            "done before": codes[0],
            "before it listened": len(done) - codes[130] - codes[0],
            "longest_s": max(one["seconds"] for one in done),
            "later": sum(one["seconds"] > AT_ONCE_S for one in done),
        },
    )
