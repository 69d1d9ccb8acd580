"""All commands of the command line."""

from __future__ import annotations

from collections.abc import Iterator

import click

from lusfx.cli import COMMANDS, group


def commands() -> Iterator[tuple[str, click.Command]]:
    """Each command with its name, ``cache info`` say."""
    context = click.Context(group)
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        inner = getattr(command, "commands", None)
        yield from ((f"{name} {key}", value) for key, value in inner.items()) if inner else [(name, command)]
