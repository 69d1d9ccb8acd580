"""A fresh process without torch: what a machine that only scores is like."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

PREAMBLE = """
import importlib, importlib.util, sys
from importlib.abc import MetaPathFinder

class NoTorch(MetaPathFinder):  # as if it were not installed; sys.modules["torch"] = None would break scipy's own check
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, NoTorch())

def made(module, file, qualname):
    try:
        found = importlib.import_module(module)
    except ImportError:  # a file outside every package, as test files are
        spec = importlib.util.spec_from_file_location(module, file)
        found = sys.modules[module] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    for name in qualname.split("."):
        found = getattr(found, name)
    return found()
"""


def whereabouts(item: object) -> tuple[str, str, str]:
    """Module, file and qualified name of an instance's class: what ``made`` needs in the fresh process.

    The test is skipped if the class cannot be imported there, because it was made in a function.
    """
    kind = type(item)
    module = sys.modules.get(kind.__module__)
    found: object = module
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    file = getattr(module, "__file__", None)
    if found is not kind or file is None:
        pytest.skip(f"{kind.__name__} is not at the top of a module, so that a fresh process cannot import it")
    return kind.__module__, str(file), kind.__qualname__


def run_without_torch(code: str, arguments: Sequence[str]) -> None:
    """Run Python code in a new process, after :data:`PREAMBLE`. Its warnings are errors.

    :param arguments: the code finds them in ``sys.argv[1:]``.
    :raises AssertionError: if it fails, with what it said.
    """
    # A plugin is imported there from where this process has it.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-W", "error", "-c", PREAMBLE + code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise AssertionError(f"a fresh process without torch fails:\n{done.stderr}")
