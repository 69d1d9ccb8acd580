"""A function of many parameters that has them once, as the fields of a class."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
Request = TypeVar("Request")
Result = TypeVar("Result")


def called_with(request: Callable[P, Request]) -> Callable[[Callable[[Request], Result]], Callable[P, Result]]:
    """Let callers give the fields of a request, and the function take the request.

    :param request: dataclass; its fields are the function's parameters, with their defaults.
    :returns: a decorator. What it makes has the class's signature, for type checkers and for :func:`inspect.signature`.
    """

    def decorate(function: Callable[[Request], Result]) -> Callable[P, Result]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Result:
            return function(request(*args, **kwargs))

        of_function, of_request = inspect.signature(function), inspect.signature(request)
        signature = of_request.replace(return_annotation=of_function.return_annotation)
        vars(call)["__signature__"] = signature
        call.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
        call.__annotations__["return"] = signature.return_annotation
        return call

    return decorate
