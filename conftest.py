"""What all tests share, the package's and the plugins': one thread a process, Hypothesis' profile, and what counts as slow."""

# ruff: noqa: E402 - the number of threads is read when numpy is imported
from __future__ import annotations

import os

# Each of xdist's processes would otherwise start a thread a core for BLAS and OpenMP: two processes of two threads each are
# slower on two cores than two of one.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

SLOW_S = 5.0
"""A test that takes more processor time than this, its fixtures counted by themselves, must be marked slow."""
SLOWEST_SHOWN = 20
SPENT = "processor_s"

# No deadlines: how long an example takes depends on what runs beside it. And the same examples in every run.
settings.register_profile("lusfx", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lusfx")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--times",
        action="store_true",
        help=f"print the {SLOWEST_SHOWN} slowest tests, and fail if one of more than {SLOW_S:g} s is not marked slow",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--times") and not hasattr(config, "workerinput"):  # xdist's processes report to the first one
        config.pluginmanager.register(Times(), "lusfx-times")


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Checks of the conformance kit that train a model or start a process are slow, but for the classes marked fast."""
    for item in items:
        costly = "fresh_process" in item.name or "trained" in getattr(item, "fixturenames", ())
        if costly and item.get_closest_marker("fast") is None:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[Any]:
    return (yield from _spending(item, "setup"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[Any]:
    return (yield from _spending(item, "call"))


def _spending(item: pytest.Item, phase: str) -> Iterator[Any]:
    """Note the processor time of a phase; a report carries it from xdist's processes to the first one."""
    started = _processor_s()
    try:
        return (yield)
    finally:
        item.user_properties.append((f"{SPENT} {phase}", _processor_s() - started))


def _processor_s() -> float:
    """Processor time of this process and of its children that have ended. The clock tells more of what runs beside it."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Times:
    """Collects what each test took, shows the slowest, and fails the run where one is slow and not marked so."""

    def __init__(self) -> None:
        self._taken: list[tuple[float, str, bool]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        taken = dict(report.user_properties).get(f"{SPENT} {report.when}")
        if taken is not None:
            name = report.nodeid if report.when == "call" else f"{report.nodeid} (its fixtures)"
            self._taken.append((taken, name, "slow" in report.keywords))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._unmarked and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section(f"the {SLOWEST_SHOWN} slowest tests, processor time")
        for taken, name, marked in sorted(self._taken, reverse=True)[:SLOWEST_SHOWN]:
            terminalreporter.write_line(f"{taken:7.2f} s {'slow' if marked else '    '} {name}")
        for taken, name in self._unmarked:
            terminalreporter.write_line(f"not marked slow, and takes {taken:.1f} s: {name}", red=True)

    @property
    def _unmarked(self) -> list[tuple[float, str]]:
        return [(taken, name) for taken, name, marked in self._taken if taken > SLOW_S and not marked]
