"""``lusfx tasks``."""

from __future__ import annotations

import click

from lusfx.cli import terminal


@click.command(name="tasks", short_help="List the tasks that plugins provide.")
@terminal.json_option
def command(as_json: bool) -> None:
    """List the tasks that plugins provide."""
    from lusfx.plugins import load_registry

    tasks = load_registry().tasks
    if as_json:
        terminal.print_json(
            [
                {
                    "name": task.name,
                    "version": task.version,
                    "question": task.question,
                    "unit": task.unit,
                    "classes": list(task.classes),
                    "label_column": task.label_column,
                    "plugin": tasks.owner(task.name),
                }
                for task in tasks.values()
            ]
        )
    elif not tasks.names():
        click.echo("no plugin provides a task; see 'lusfx plugins', and plugins/lusfx-blues for three")
    else:
        rows = [(task.name, task.label_column, tasks.owner(task.name), task.question) for task in tasks.values()]
        terminal.print_table(("task", "label column", "plugin", "question"), rows)
