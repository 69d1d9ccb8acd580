"""Options made from a settings model, so that a field's range, default and meaning are said once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pydantic import BaseModel

Command = Callable[..., Any]


def field_options(model: type[BaseModel], leave_out: Collection[str] = ()) -> Callable[[Command], Command]:
    """An option for each field of a model, in its order; the command is given them by the fields' names.

    :param model: fields are texts, choices of texts and numbers, have a default and a description, and may be None.
    :param leave_out: names of fields that get none.
    """
    fields = model.model_json_schema()["properties"]

    def decorate(command: Command) -> Command:
        for name in reversed([name for name in fields if name not in leave_out]):
            command = _option(name, fields[name])(command)
        return command

    return decorate


def _option(name: str, field: Mapping[str, Any]) -> Callable[[Command], Command]:
    kind = next(kind for kind in field.get("anyOf", [field]) if kind["type"] != "null")
    return click.option(
        f"--{name.replace('_', '-')}",
        type=_type(kind),
        default=field["default"],
        show_default=field["default"] is not None,
        help=field["description"],
    )


def _type(kind: Mapping[str, Any]) -> click.ParamType[Any]:
    if "enum" in kind:
        return click.Choice(kind["enum"])
    if kind["type"] == "string":
        return click.STRING
    number = click.IntRange if kind["type"] == "integer" else click.FloatRange
    return number(
        kind.get("minimum", kind.get("exclusiveMinimum")),
        kind.get("maximum", kind.get("exclusiveMaximum")),
        min_open="exclusiveMinimum" in kind,
        max_open="exclusiveMaximum" in kind,
    )
