"""The conformance kit for plugin authors: subclass, name what is to be tested, and pytest runs the checks.

Example::

    from lusfx.testing import TaskConformance
    from my_plugin import MyTask

    class TestMyTask(TaskConformance):
        task = MyTask()

It needs pytest, which lusfx itself does not. Installed beside lusfx, pytest also has the fixture ``small_cache`` (see
:mod:`lusfx.testing.pytest_plugin`).
"""

from __future__ import annotations

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
