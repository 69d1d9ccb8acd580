"""The conformance kit for plugin authors: subclass, name what is to be tested, and pytest runs the checks.

Example::

    from lusfx.testing import TaskConformance
    from my_plugin import MyTask

    class TestMyTask(TaskConformance):
        task = MyTask()

It needs pytest, which lusfx itself does not. Installed beside lusfx, pytest also has the fixture ``small_cache`` (see
:mod:`lusfx.testing.pytest_plugin`). See ``docs/testing.md`` for all checks.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lusfx.testing.conformance import Conformance
    from lusfx.testing.encoder import EncoderConformance
    from lusfx.testing.head import HeadConformance
    from lusfx.testing.reader import ReaderConformance
    from lusfx.testing.small_cache import SmallCache, example_rows, make_small_cache
    from lusfx.testing.task import TaskConformance

__all__ = [
    "Conformance",
    "EncoderConformance",
    "HeadConformance",
    "ReaderConformance",
    "SmallCache",
    "TaskConformance",
    "example_rows",
    "make_small_cache",
]

MODULES = {
    "Conformance": "conformance",
    "EncoderConformance": "encoder",
    "HeadConformance": "head",
    "ReaderConformance": "reader",
    "SmallCache": "small_cache",
    "TaskConformance": "task",
    "example_rows": "small_cache",
    "make_small_cache": "small_cache",
}
"""Where each name lives; imported when first used, because every pytest run where lusfx is installed imports this package."""

# So that a failed check shows its values, as a failed assertion of a test file does.
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in ("task", "head", "encoder", "reader")))


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{MODULES[name]}"), name)
