"""What all conformance classes share: checks have names, and a failure can be expected by name and with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import ClassVar

import pytest

PREFIX = "test_"


class Conformance:
    """Base of the conformance classes. Each check is a test method; its name without ``test_`` is the check's name.

    A check that a plugin cannot pass is named in :attr:`expected_failures` with the reason. It is then expected to fail, and
    its passing is an error: what was mended must be struck off the list.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, reason in cls.expected_failures.items():
            check = getattr(cls, PREFIX + name, None)
            if not isinstance(check, FunctionType):
                raise TypeError(f"{cls.__name__} expects '{name}' to fail; the checks are: {', '.join(cls.checks())}")
            # A copy, because pytest keeps its marks on the function, which other classes share.
            copy = FunctionType(
                check.__code__, check.__globals__, check.__name__, check.__defaults__, check.__closure__
            )
            copy.__doc__ = check.__doc__
            setattr(cls, PREFIX + name, pytest.mark.xfail(reason=reason, strict=True)(copy))

    @classmethod
    def checks(cls) -> list[str]:
        """Names of all checks, sorted."""
        return sorted(name.removeprefix(PREFIX) for name in dir(cls) if name.startswith(PREFIX))
