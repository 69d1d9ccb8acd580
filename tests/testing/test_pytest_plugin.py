"""The fixture ``small_cache`` is there wherever lusfx is installed, and costs nothing where no test asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"

TESTS = '''
from lusfx.contracts import Task


class Effusion(Task):
    """Pleural effusion, one answer a clip."""

    name = "made-up-effusion"
    label_columns = ("effusion",)


def test_a_cache(small_cache, tmp_path):
    small = small_cache(Effusion(), n_patients=4)
    assert small.cache.is_relative_to(tmp_path)
    assert len(small.clips()) == 12
    other = small_cache(Effusion(), n_patients=2, clips_per_patient=1, seed=1, dim=5)
    assert {clip.embeddings.shape[1] for clip in other.clips().values()} == {5}
    assert len(small.clips()) == 12


def test_another_has_another(small_cache, tmp_path):
    assert not list(tmp_path.iterdir())
'''


def test_the_entry_point_names_the_plugin() -> None:
    entry_points = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["entry-points"]["pytest11"]
    assert entry_points == {"lusfx": "lusfx.testing.pytest_plugin"}
    assert hasattr(import_module(entry_points["lusfx"]), "small_cache")


@pytest.mark.parametrize("module", ["lusfx.testing", "lusfx.testing.pytest_plugin"])
def test_importing_it_imports_pytest_alone(module: str) -> None:
    code = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        f"import {module}\n"
        "found = {name.partition('.')[0] for name in set(sys.modules) - before if sys.modules[name] is not None}\n"
        "print(sorted(found - sys.stdlib_module_names))\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['lusfx']\n"


def test_the_fixture_makes_caches_in_the_tests_own_folder(tmp_path: Path) -> None:
    (tmp_path / "test_fixture.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error"]
    # Loaded by name: whether this environment has the entry point is another question.
    command += ["-p", "lusfx.testing.pytest_plugin", "."]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_names_of_the_kit_are_found_when_they_are_used() -> None:
    kit = import_module("lusfx.testing")
    assert sorted(kit.MODULES) == sorted(kit.__all__)
    for name in kit.__all__:
        assert getattr(kit, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Conformity'"):
        _ = kit.Conformity
