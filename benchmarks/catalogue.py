"""The benchmarks that there are, each imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from benchmarks.request import Request

BENCHMARKS: Mapping[str, str] = {
    "inference": "benchmarks.inference",
    "extraction": "benchmarks.extraction",
    "cache": "benchmarks.cache",
    "decoding": "benchmarks.decoding",
    "runtimes": "benchmarks.runtimes",
    "heads": "benchmarks.heads",
}
"""Module of each, by name."""

Result = dict[str, Any]
"""JSON values."""


class Benchmark(Protocol):
    """What a benchmark's module has."""

    def measure(self, request: Request) -> Result:
        """Measure, and say nothing but facts: what the machine is like is added by the caller."""
        ...

    def summary(self, result: Result) -> str:
        """What is printed."""
        ...

    def section(self, result: Result) -> str:
        """Markdown from a heading of the second level on."""
        ...


def benchmark(name: str) -> Benchmark:
    """The benchmark of a name in :data:`BENCHMARKS`."""
    return cast(Benchmark, import_module(BENCHMARKS[name]))
