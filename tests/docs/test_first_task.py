"""The tutorial works as it stands: its files are written, its commands are run, in its order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "first-task.md"
BLOCK = re.compile(r"^```(?P<kind>sh|python file=(?P<file>\S+))\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
SITE = "site"
"""Where the tutorial's plugin is installed: this environment stays as it is."""


def as_run_here(line: str) -> list[str]:
    """A command line of the page as an offline machine can run it, with this environment's programs."""
    words = shlex.split(line)
    if words[:3] == ["pip", "install", "--editable"]:
        install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "--target",
            SITE,
        ]
        return [sys.executable, *install, f"./{words[3]}"]
    if words[0] == "pytest":
        return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words[1:]]
    assert words[0] == "lusfx", line
    return [sys.executable, "-m", *words]


def test_the_tutorial_runs(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling, which builds the tutorial's plugin, is not installed")
    pytest.importorskip(
        "lusfx_ab_lines", reason="the plugin lusfx-ab-lines, whose tasks the page uses, is not installed"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / SITE), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    said = {}
    blocks = list(BLOCK.finditer(PAGE.read_text(encoding="utf-8")))
    assert len(blocks) >= 6
    for block in blocks:
        if block["file"]:
            assert (tmp_path / block["file"]).exists(), "the page replaces a file that new-plugin did not write"
            (tmp_path / block["file"]).write_text(block["text"], encoding="utf-8")
            continue
        for line in block["text"].splitlines():
            done = subprocess.run(
                as_run_here(line), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            said[line.split(" --")[0]] = done.stdout
    assert "white-lung" in said["lusfx tasks"]
    assert "white-lung: cross-validated AUC" in said["lusfx train-task white-lung"]
    assert (tmp_path / "scores.csv").is_file()
    assert (tmp_path / "evaluation.html").is_file()
