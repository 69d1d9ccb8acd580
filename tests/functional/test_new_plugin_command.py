"""``lusfx new-plugin`` as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Lusfx = Callable[..., Any]


def test_it_writes_a_plugin_and_says_how_to_go_on(lusfx: Lusfx, tmp_path: Path) -> None:
    run = lusfx("new-plugin", "lung-point")
    assert (run.code, run.err) == (0, "")
    assert run.out.splitlines() == [
        "wrote lusfx-lung-point: 7 files. Next:",
        "  pip install --editable lusfx-lung-point pytest",
        "  pytest lusfx-lung-point",
        "  lusfx train-task lung-point --labels LABELS.csv --cache CACHE --out models/lung-point",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["lusfx-lung-point"]

    again = lusfx("new-plugin", "lung-point")
    assert again.code == 2
    assert again.err == "Error: 'lusfx-lung-point' is there already; nothing was written. To write it anew: --force\n"
    (tmp_path / "lusfx-lung-point" / "mine.txt").write_text("mine")
    anew = lusfx("new-plugin", "lung-point", "--force")
    assert anew.code == 0
    (old,) = tmp_path.glob("lusfx-lung-point.old-*")
    assert anew.err == f"warning: the folder that was there is kept beside it as {old.name}\n"
    assert (old / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", ["head", "reader"])
def test_a_written_head_or_reader_passes_the_kit_once_it_is_installed(lusfx: Lusfx, tmp_path: Path, kind: str) -> None:
    run = lusfx("new-plugin", "my-own", "--kind", kind, "--json")
    assert (run.code, run.err) == (0, "")
    assert (run.json["name"], run.json["kind"]) == ("my-own", kind)
    assert "MODEL_CARD.md" not in run.json["files"]
    plugin = tmp_path / "lusfx-my-own"
    info = plugin / "src" / "lusfx_my_own-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lusfx-my-own\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[lusfx]\nmy-own = lusfx_my_own\n")
    path = os.pathsep.join([str(plugin / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        plugin,
        plugin,
    ]
    done = subprocess.run(
        [str(part) for part in command],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_options_reach_the_task(lusfx: Lusfx, tmp_path: Path) -> None:
    run = lusfx(
        "new-plugin", "signs", "--out", "deeper/still", "--kind", "multi-label", "--unit", "exam", "--class", "A-lines",
        "--class", "B-lines", "--column", "a", "--column", "b", "--json",
    )  # fmt: skip
    assert run.code == 0, run.err
    assert run.json["warnings"] == []
    source = (tmp_path / "deeper" / "still" / "lusfx-signs" / "src" / "lusfx_signs" / "__init__.py").read_text()
    assert 'unit, kind = "exam", "multi-label"' in source
    assert 'classes = ("A-lines", "B-lines")' in source
    assert 'label_columns = ("a", "b")' in source
    assert set(run.json["files"]) >= {"pyproject.toml", "src/lusfx_signs/__init__.py", "tests/test_signs.py"}


def test_a_name_that_is_taken_is_warned_of(lusfx: Lusfx, tmp_path: Path, monkeypatch: Any) -> None:
    """An installed distribution has the task, and another one has the distribution's name."""
    site = tmp_path / "site"
    for distribution, module in (("lusfx-taken", "nothing_here"), ("elsewhere", "elsewhere")):
        info = site / f"{distribution.replace('-', '_')}-3.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 3.0\n")
        (info / "entry_points.txt").write_text(f"[lusfx]\n{distribution} = {module}\n")
    made = lusfx("new-plugin", "taken", "--out", "made")
    assert made.err == ""
    source = tmp_path / "made" / "lusfx-taken" / "src" / "lusfx_taken" / "__init__.py"
    (site / "elsewhere.py").write_text(source.read_text())

    monkeypatch.setenv("PYTHONPATH", str(site))
    run = lusfx("new-plugin", "taken", "--out", "again")
    assert run.code == 0
    assert run.err.splitlines() == [
        "warning: lusfx-taken 3.0 is installed; installing this one replaces it",
        "warning: a task 'taken' is provided by elsewhere 3.0; with both installed, neither can be used",
    ]


def test_what_makes_no_task_is_a_usage_error(lusfx: Lusfx, tmp_path: Path) -> None:
    assert lusfx("new-plugin", "Sign").code == 2
    run = lusfx("new-plugin", "sign", "--kind", "ordinal")
    assert run.code == 2
    assert "--class NAME for each" in run.err
    assert list(tmp_path.iterdir()) == []
