"""A function that takes a request is called with the request's fields."""

from __future__ import annotations

import inspect
from dataclasses import KW_ONLY, dataclass

import pytest

from lusfx.networks.request import called_with


@dataclass(frozen=True)
class Order:
    what: str
    _: KW_ONLY
    n: int = 1


@called_with(Order)
def place(order: Order) -> tuple[str, int]:
    """Place an order."""
    return order.what, order.n


def test_fields_are_arguments() -> None:
    assert place("tea") == ("tea", 1)
    assert place(what="tea", n=2) == ("tea", 2)


@pytest.mark.parametrize(("arguments", "named"), [((), {}), (("tea", 2), {}), (("tea",), {"sugar": True})])
def test_what_the_request_does_not_take_is_a_type_error(
    arguments: tuple[object, ...], named: dict[str, object]
) -> None:
    with pytest.raises(TypeError):
        place(*arguments, **named)


def test_signature_and_documentation_are_complete() -> None:
    assert str(inspect.signature(place)) == "(what: 'str', *, n: 'int' = 1) -> 'tuple[str, int]'"
    assert (place.__name__, place.__doc__) == ("place", "Place an order.")
    assert place.__annotations__ == {"what": "str", "n": "int", "return": "tuple[str, int]"}
