"""The whole measurement, on one thread but for training, which takes as many as the heads do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks.heads.material import RIVALS, SPECS, Predict, Rows, draw, features_of, train, train_rival
from benchmarks.heads.plan import PLANS, Plan
from benchmarks.request import Request
from benchmarks.timing import Spread, Way, take_turns
from lusfx.contracts import Head

CALLS_OF_ONE = 50
"""Calls that are timed together where one is shorter than the clock is good for."""


def measure(request: Request) -> dict[str, Any]:
    """Measure at the size that is asked for."""
    return run(PLANS[request.size], request)


def run(plan: Plan, request: Request) -> dict[str, Any]:
    """Measure as planned.

    :returns: the result, JSON values.
    """
    training, heads = _training(plan, request.told)
    rows = features_of(draw(max(plan.score_rows + plan.call_rows), plan.n_features, seed=1))
    few = draw(plan.train_rows[0], plan.n_features)
    with threadpool_limits(1):
        rivals = {kind: train_rival(kind, few) for kind in SPECS}
        calls = []
        for n_rows in plan.call_rows:
            request.told(f"calls of {n_rows} rows")
            calls += [_call(kind, heads[kind], rivals[kind], rows[:n_rows], plan) for kind in SPECS]
        scaling = []
        for n_rows in plan.score_rows:
            request.told(f"{n_rows} rows, several tasks")
            scaling += [_scaling(kind, heads[kind], rows[:n_rows], plan) for kind in SPECS]
    return {"rivals": dict(RIVALS), "plan": plan.as_dict(), "training": training, "calls": calls, "scaling": scaling}


def _training(plan: Plan, told: Callable[[str], None]) -> tuple[list[dict[str, Any]], dict[str, Head]]:
    """Seconds that each head takes to train, and those of the fewest rows."""
    found: list[dict[str, Any]] = []
    heads: dict[str, Head] = {}
    for n_rows in plan.train_rows:
        training = draw(n_rows, plan.n_features)
        for kind in SPECS:
            told(f"training, {kind}, {n_rows} rows")
            started = time.perf_counter()
            head = train(kind, training)
            found.append({"head": kind, "n_rows": n_rows, "seconds": round(time.perf_counter() - started, 2)})
            heads.setdefault(kind, head)
    return found, heads


def _call(kind: str, head: Head, rival: Predict, rows: Rows, plan: Plan) -> dict[str, Any]:
    n_calls = CALLS_OF_ONE if len(rows) < CALLS_OF_ONE else 1
    times = take_turns(
        {"lusfx": _repeated(head.predict_proba, rows, n_calls), "rival": _repeated(rival, rows, n_calls)}, plan.rounds
    )
    a_call = {name: [t / n_calls for t in each] for name, each in times.items()}
    ratios = [theirs / ours for ours, theirs in zip(a_call["lusfx"], a_call["rival"], strict=True)]
    return {
        "head": kind,
        "n_rows": len(rows),
        "s_a_call": {name: Spread.of(each).as_dict() for name, each in a_call.items()},
        "times_as_fast": Spread.of(ratios).as_dict(),
        "rows_a_s": Spread.of([len(rows) / t for t in a_call["lusfx"]]).as_dict(),
    }


def _scaling(kind: str, head: Head, rows: Rows, plan: Plan) -> dict[str, Any]:
    """Answers a second by how many heads are asked about the same rows: each is asked for itself."""
    times = take_turns(
        {str(n_tasks): _repeated(head.predict_proba, rows, n_tasks) for n_tasks in plan.task_counts}, plan.rounds
    )
    answers = {n: [len(rows) * int(n) / t for t in each] for n, each in times.items()}
    return {
        "head": kind,
        "n_rows": len(rows),
        "answers_a_s": {n_tasks: Spread.of(each).as_dict() for n_tasks, each in answers.items()},
    }


def _repeated(predict: Predict, rows: Rows, times: int) -> Way:
    def call() -> None:
        for _ in range(times):
            predict(rows)

    return call
