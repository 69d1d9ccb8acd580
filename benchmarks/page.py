"""``docs/performance.md``, made from kept results and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.catalogue import benchmark

LEAD = """# Performance

    python -m benchmarks --size full --out benchmarks/results
    python -m benchmarks --page benchmarks/results > docs/performance.md

The second command made this page from the results in [benchmarks/results](../benchmarks/results): no time and no ratio
on it was typed. Each ratio is to a named rival that was measured in the same run, the two taking turns. Clips are
synthetic where nothing else is said."""


def page(results: Sequence[dict[str, Any]]) -> str:
    """The page about some results, in their order."""
    sections = [benchmark(result["benchmark"]).section(result).strip() for result in results]
    return "\n\n".join([LEAD, _runs(results), *sections]) + "\n"


def _runs(results: Sequence[dict[str, Any]]) -> str:
    """On what the results were measured, and whether they can be compared with one another."""
    runs = {result["run"]: result for result in results}
    if len(runs) == 1:
        return "\n\n".join(["All results are of one run:", *map(_machine, runs.values())])
    warning = f"The results are of {len(runs)} runs: compare nothing across sections whose runs differ."
    return "\n\n".join([warning, *(f"Run {run}:\n\n{_machine(result)}" for run, result in runs.items())])


def with_quartiles(spread: Mapping[str, float], form: str = "{:.3g}", unit: float = 1.0) -> str:
    """Median and quartiles of a :class:`~benchmarks.timing.Spread`.

    :param unit: what the figures are multiplied by.
    """
    median, low, high = (form.format(unit * spread[name]) for name in ("median", "q1", "q3"))
    return f"{median} ({low} to {high})"


def in_ms(spread: Mapping[str, float]) -> str:
    """:func:`with_quartiles` of seconds, in milliseconds."""
    return with_quartiles(spread, unit=1000)


def said(reached: bool) -> str:
    """Of a goal."""
    return "reached" if reached else "not reached"


def run_facts(result: dict[str, Any]) -> str:
    """Which run a result is of, and on which machine, as a list."""
    return f"{command(result)}\n{_machine(result)}"


def command(result: dict[str, Any]) -> str:
    """Which run a result is of, and how to make it again, as a list."""
    facts = [f"run {result['run']}: `{result['command']}`"]
    if result["size"] != "full":
        facts.append(f"size `{result['size']}`: few repeats. Not for keeps")
    return _list(facts)


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    packages = ", ".join(f"{name} {found}" for name, found in machine["packages"].items())
    threads = machine["threads"]
    load = machine["load_before"]
    facts = [
        f"{machine['date']}, lusfx {machine['lusfx']}, Python {machine['python']}",
        f"machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}"
        + (f"; {machine['gpu']}" if machine["gpu"] else ""),
        f"device {machine['device']}, {threads} thread{'' if threads == 1 else 's'}; {packages}",
    ]
    if load is not None:
        facts.append(f"load average of the minute before: {load:.2f}{_warning(load, machine['cores'])}")
    return _list(facts)


def _list(facts: Sequence[str]) -> str:
    return "\n".join(f"* {fact}" for fact in facts)


def _warning(load: float, cores: int) -> str:
    """What to think of a machine that was not idle."""
    return ": other programs were computing, so that times are too long and ratios noisy" if load > cores / 4 else ""
