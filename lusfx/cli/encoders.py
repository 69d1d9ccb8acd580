"""``lusfx encoders``."""

from __future__ import annotations

import click

from lusfx.cli import terminal


@click.command(name="encoders")
@terminal.json_option
def command(as_json: bool) -> None:
    """List the encoders that can be used by name.

    An encoder directory can be used by its path as well.
    """
    from lusfx.encoders import DEFAULT_ENCODER
    from lusfx.plugins import load_registry

    encoders = load_registry().encoders
    listed = [
        {
            "name": f"{spec.name}/..." if spec.family else spec.name,
            "default": spec.name == DEFAULT_ENCODER,
            "licence": spec.licence,
            "plugin": encoders.owner(spec.name),
            "summary": spec.summary,
        }
        for spec in encoders.values()
    ]
    if as_json:
        terminal.print_json(listed)
    else:
        rows = [
            (f"{entry['name']}{' (default)' if entry['default'] else ''}", str(entry["licence"]), str(entry["summary"]))
            for entry in listed
        ]
        terminal.print_table(("encoder", "licence", "summary"), rows)
