"""No option is dropped: one that counts once and is given twice is refused, since the first of two values would be lost."""

from __future__ import annotations

from collections import Counter
from types import MethodType
from typing import Any

import click


def refuse_repeated_options(command: click.Command) -> None:
    """Make a command refuse options that are given more than once, but for those that may be and for flags."""
    if "make_parser" in vars(command):
        return

    def make_parser(self: click.Command, ctx: click.Context) -> Any:
        parser = type(self).make_parser(self, ctx)
        parse = parser.parse_args

        def parse_args(args: list[str]) -> Any:
            values, rest, order = parse(args)
            for option, times in Counter(order).items():
                if times > 1 and isinstance(option, click.Option) and not (option.multiple or option.is_flag):
                    names = " / ".join(option.opts)
                    raise click.UsageError(f"{names} is given {times} times, and has one value. Give it once.", ctx)
            return values, rest, order

        vars(parser)["parse_args"] = parse_args
        return parser

    vars(command)["make_parser"] = MethodType(make_parser, command)
