"""The fixture that pytest has wherever lusfx is installed. Nothing but pytest is imported before a test asks for it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lusfx.contracts import Task
    from lusfx.testing.small_cache import SmallCache


@pytest.fixture
def small_cache(tmp_path: Path) -> Callable[..., SmallCache]:
    """Makes a cache of made-up embeddings and a label table for a task, in the test's own folder.

    ``small_cache(task, ...)`` takes what :func:`lusfx.testing.make_small_cache` takes after the directory; each call makes
    another cache.
    """
    numbers = count()

    def make(task: Task, **options: Any) -> SmallCache:
        from lusfx.testing.small_cache import make_small_cache

        return make_small_cache(tmp_path / f"small-cache-{next(numbers)}", task, **options)

    return make
