"""Products of matrices on one thread: they are small where heads are fitted, and sums are then taken in one order."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """A context in which the libraries that are loaded use one thread each."""
    limited: AbstractContextManager[Any] = _controller(len(sys.modules)).limit(limits=1)
    return limited


@lru_cache(maxsize=1)
def _controller(n_modules: int) -> Any:
    """Looks through all loaded libraries, which takes as long as a small fit: so only after another module was imported."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
