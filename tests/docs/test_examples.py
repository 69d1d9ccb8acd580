"""The examples run as they stand."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from lusfx.plugins import build_registry

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_python_api_example_runs(tmp_path: Path) -> None:
    pytest.importorskip("lusfx_blues", reason="the plugin lusfx-blues is not installed")
    command = [sys.executable, "-W", "error", str(EXAMPLES / "python_api.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "32 found = 32 encoded" in done.stdout
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 9


def test_the_plugin_example_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    registry = build_registry([EntryPoint("effusion", "effusion_plugin", "lusfx")])
    assert registry.failures == []
    assert registry.task("pleural-effusion").label("1") == 1
