"""``lusfx new-plugin``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lusfx.cli import output, terminal

if TYPE_CHECKING:
    from lusfx.contracts import Unit
    from lusfx.engine.new_plugin import PluginKind


@click.command(name="new-plugin")
@click.argument("name")
@click.option(
    "--out", type=terminal.DIRECTORY, default=".", show_default=True, help="Folder to write the folder lusfx-NAME into."
)
@click.option(
    "--kind",
    type=click.Choice(["binary", "multi-class", "multi-label", "ordinal", "head", "reader"]),
    default="binary",
    show_default=True,
    help="What kind of answer, of a task; or a head or a reader.",
)
@click.option(
    "--unit",
    type=click.Choice(["frame", "clip", "exam"]),
    default="clip",
    show_default=True,
    help="What gets an answer.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    help="Column of a label table; of a multi-label task one for each class. By default made from the names.",
)
@click.option(
    "--class", "classes", multiple=True, help="Name of a class, in order. Left out, a binary task has no and yes."
)
@terminal.force_option
@terminal.json_option
def command(
    name: str,
    out: Path,
    kind: PluginKind,
    unit: Unit,
    columns: tuple[str, ...],
    classes: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Write a plugin with a task, a head or a reader, with tests and texts, to go on from.

    NAME is the task's, the head's or the reader's: lower-case letters, digits and hyphens. The folder lusfx-NAME becomes a
    whole distribution. A reader is for files that end in .NAME.
    """
    from lusfx.engine.new_plugin import new_plugin

    made = new_plugin(name, out, kind=kind, unit=unit, columns=columns, classes=classes, force=force)
    if as_json:
        terminal.print_json(made.as_dict())
        return
    for warning in made.warnings:
        output.say(f"warning: {warning}", err=True)
    output.say(f"wrote {made.path.name}: {len(made.files)} files. Next:")
    for line in made.next_commands:
        output.say(f"  {line}")
