"""The fault suite: what lusfx promises of damaged and hostile inputs, in a short form and in one that gives the page's figures.

``python -m pytest tests/faults`` runs the short form, as the whole test suite does. ``python -m pytest tests/faults --faults
full`` runs all trials and writes ``measured.json``, from which ``docs/reliability.md`` has its figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lusfx.metrics import patient_bootstrap, performance

HERE = Path(__file__).parent
MEASURED = HERE / "measured.json"
FULL_TIMEOUT_S = 3600

Figures = Mapping[str, object]
Measured = Callable[[str, Figures], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults", choices=["short", "full"], default="short", help="how many trials the fault suite makes"
    )


def is_full(config: pytest.Config) -> bool:
    """Whether all trials are to be made. The option is known only where this folder is named on the command line."""
    return bool(config.getoption("--faults", "short") == "full")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if is_full(config):
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.timeout(FULL_TIMEOUT_S))


@pytest.fixture(scope="session")
def trials(pytestconfig: pytest.Config) -> Callable[[int, int], int]:
    """Chooses a number of trials: of the short form or of the full one."""
    return lambda short, full: full if is_full(pytestconfig) else short


@pytest.fixture(scope="module")
def few_resamples() -> Iterator[None]:
    """Makes intervals of few resamples throughout a module, where their width is not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        for judge in (patient_bootstrap, performance):
            patch.setitem(judge.__kwdefaults__, "n_resamples", 50)
        yield


@pytest.fixture(scope="session")
def measured(pytestconfig: pytest.Config) -> Measured:
    """Keeps the figures of a row of the page, where all trials were made."""

    def keep(row: str, figures: Figures) -> None:
        print(f"{row}: {json.dumps(figures)}")
        if is_full(pytestconfig):
            rows = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
            rows[row] = dict(figures)
            MEASURED.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")

    return keep
