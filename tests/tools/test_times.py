"""A run with ``--times`` fails on a slow test that is not marked so, and says which; the clock does not count."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import time
import pytest

def busy():
    started = time.process_time()
    while time.process_time() - started < 0.5:
        pass

@pytest.fixture
def costly():
    busy()

def test_busy(): busy()
def test_waits(): time.sleep(0.5)
def test_of_a_costly_fixture(costly): pass
@pytest.mark.slow
def test_marked(): busy()
"""


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    shared = (ROOT / "conftest.py").read_text(encoding="utf-8").replace("SLOW_S = 5.0", "SLOW_S = 0.25")
    (folder / "conftest.py").write_text(shared, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    (folder / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "."]
    environment = {**os.environ, "PYTEST_ADDOPTS": ""}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(), ("-n", "2")])
def test_a_slow_test_without_the_mark_fails_the_run(tmp_path: Path, processes: tuple[str, ...]) -> None:
    done = run_pytest(tmp_path, "--times", *processes)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("not marked slow")]
    assert sorted(line.rpartition("::")[2] for line in said) == ["test_busy", "test_of_a_costly_fixture (its fixtures)"]
    assert "4 passed" in done.stdout


@pytest.mark.slow
def test_a_run_without_the_option_times_nothing(tmp_path: Path) -> None:
    done = run_pytest(tmp_path)
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    assert "slow" not in done.stdout
