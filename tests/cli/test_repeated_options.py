"""No option of any command is dropped: given twice it is honoured or refused."""

from __future__ import annotations

import click
import pytest

from lusfx.cli import group
from tests.cli.commands import commands

OPTIONS = [
    pytest.param(command, option, id=f"{name} {option.opts[0]}")
    for name, command in commands()
    for option in command.params
    if isinstance(option, click.Option)
]


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_an_option_that_is_given_twice_is_honoured_or_refused(command: click.Command, option: click.Option) -> None:
    words = [option.opts[0]] if option.is_flag else [option.opts[0], "1"]
    parser = command.make_parser(click.Context(command, parent=click.Context(group)))
    if option.multiple or option.is_flag:
        parser.parse_args([*words, *words])
    else:
        with pytest.raises(click.UsageError, match=f"{option.opts[0]} is given 2 times"):
            parser.parse_args([*words, *words])
