"""What all conformance classes share: checks have names, some do not apply, and a failure can be expected with a reason."""

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

    A check that does not apply to a class is no test of it, and pytest does not collect it: :meth:`not_applicable` has its
    name and the reason.

    A check that a plugin cannot pass is named in :attr:`expected_failures` with the reason. It is then expected to fail, and
    its passing is an error: what was mended must be struck off the list.
    """

    is_plugin: ClassVar[bool] = True
    """False for something that no installed plugin provides, such as an example in one file: it is not looked for."""
    expected_failures: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        checks = _inherited_checks(cls)
        not_applicable = cls.not_applicable()
        for name, reason in cls.expected_failures.items():
            if name not in checks:
                raise TypeError(f"{cls.__name__} expects '{name}' to fail; the checks are: {', '.join(sorted(checks))}")
            if name in not_applicable:
                raise TypeError(
                    f"{cls.__name__} expects '{name}' to fail, and it does not apply: {not_applicable[name]}"
                )
            if not isinstance(reason, str) or not reason.strip():
                raise TypeError(f"{cls.__name__} expects '{name}' to fail and does not say why")
        for name, check in checks.items():
            wanted: object = check
            if name in not_applicable:
                wanted = None
            elif name in cls.expected_failures:
                wanted = _expected_to_fail(check, cls.expected_failures[name])
            if wanted is not getattr(cls, PREFIX + name):  # else a class that this one is made from says the same
                setattr(cls, PREFIX + name, wanted)

    @classmethod
    def checks(cls) -> list[str]:
        """Names of all checks that apply, sorted."""
        names = (name for name in dir(cls) if name.startswith(PREFIX) and getattr(cls, name) is not None)
        return sorted(name.removeprefix(PREFIX) for name in names)

    @classmethod
    def not_applicable(cls) -> dict[str, str]:
        """Names of the checks that make no sense for this class, with the reasons."""
        return {} if cls.is_plugin else {"is_registered": "no plugin provides it"}


def _inherited_checks(cls: type[Conformance]) -> dict[str, FunctionType]:
    """Every check by its name, as it was written: whatever a class that this one is made from expects of it."""
    checks: dict[str, FunctionType] = {}
    for kind in reversed(cls.__mro__):
        for name, value in vars(kind).items():
            if name.startswith(PREFIX) and isinstance(value, FunctionType):
                checks[name.removeprefix(PREFIX)] = getattr(value, ORIGINAL, value)
    return checks


def _expected_to_fail(check: FunctionType, reason: str) -> Callable[..., Any]:
    """A copy of a check with the mark; a copy, because pytest keeps its marks on the function, which other classes share."""
    copy = FunctionType(check.__code__, check.__globals__, check.__name__, check.__defaults__, check.__closure__)
    copy.__doc__, copy.__kwdefaults__, copy.__annotations__ = check.__doc__, check.__kwdefaults__, check.__annotations__
    copy.__dict__.update(check.__dict__)
    setattr(copy, ORIGINAL, check)
    marked: Callable[..., Any] = pytest.mark.xfail(reason=reason, strict=True)(copy)
    return marked
