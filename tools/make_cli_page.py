"""Write docs/cli.md from the commands' own help. A test holds that the page is what this writes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lusfx.cli import COMMANDS, group

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
WIDTH = 100


def page() -> str:
    """The page's text."""
    sections = ["# Command line\n\nMade from the commands' own help by `tools/make_cli_page.py`.\n"]
    context = click.Context(group, info_name="lusfx", **group.context_settings)
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        sections += _sections(command, context, name)
    return "\n".join(sections)


def _sections(command: click.Command, parent: click.Context, name: str) -> list[str]:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH)
    sections = [f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            sections += _sections(found, context, child)
    return sections


if __name__ == "__main__":
    sys.exit(PAGE.write_text(page(), encoding="utf-8") and 0)
