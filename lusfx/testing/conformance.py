"""What all conformance classes share: checks have names, and a failure can be expected by name and with a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, ClassVar

import pytest

PREFIX = "test_"
ORIGINAL = "_lusfx_check"
"""Where a check that is expected to fail keeps the check that it was made from."""


class Conformance:
    """Base of the conformance classes. Each check is a test method; its name without ``test_`` is the check's name.

    A check that a plugin cannot pass is named in :attr:`expected_failures` with the reason. It is then expected to fail, and
    its passing is an error: what was mended must be struck off the list.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        checks = {name: getattr(cls, PREFIX + name) for name in cls.checks()}
        for name, reason in cls.expected_failures.items():
            if not isinstance(checks.get(name), FunctionType):
                raise TypeError(f"{cls.__name__} expects '{name}' to fail; the checks are: {', '.join(cls.checks())}")
            if not isinstance(reason, str) or not reason.strip():
                raise TypeError(f"{cls.__name__} expects '{name}' to fail and does not say why")
        for name, check in checks.items():
            original = getattr(check, ORIGINAL, check)
            if name in cls.expected_failures:
                setattr(cls, PREFIX + name, _expected_to_fail(original, cls.expected_failures[name]))
            elif original is not check:  # a class that this one is made from expects it, and this one does not
                setattr(cls, PREFIX + name, original)

    @classmethod
    def checks(cls) -> list[str]:
        """Names of all checks, sorted."""
        return sorted(name.removeprefix(PREFIX) for name in dir(cls) if name.startswith(PREFIX))


def _expected_to_fail(check: FunctionType, reason: str) -> Callable[..., Any]:
    """A copy of a check with the mark; a copy, because pytest keeps its marks on the function, which other classes share."""
    copy = FunctionType(check.__code__, check.__globals__, check.__name__, check.__defaults__, check.__closure__)
    copy.__doc__, copy.__kwdefaults__, copy.__annotations__ = check.__doc__, check.__kwdefaults__, check.__annotations__
    copy.__dict__.update(check.__dict__)
    setattr(copy, ORIGINAL, check)
    marked: Callable[..., Any] = pytest.mark.xfail(reason=reason, strict=True)(copy)
    return marked
