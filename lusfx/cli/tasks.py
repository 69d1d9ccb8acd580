"""``lusfx tasks``."""

from __future__ import annotations

import click

from lusfx.cli import output, terminal


@click.command(name="tasks")
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
                    "kind": task.kind,
                    "classes": list(task.classes),
                    "label_columns": list(task.label_columns),
                    "requires": None
                    if task.requires is None
                    else {"task": task.requires.task, "is": task.requires.is_},
                    "plugin": tasks.owner(task.name),
                }
                for task in tasks.values()
            ]
        )
    elif not tasks.names():
        output.say("no plugin provides a task; see 'lusfx plugins'. To write one: lusfx new-plugin NAME")
    else:
        rows = [
            (task.name, task.unit, task.kind, ", ".join(task.label_columns), tasks.owner(task.name), task.question)
            for task in tasks.values()
        ]
        terminal.print_table(("task", "unit", "kind", "label columns", "plugin", "question"), rows)
