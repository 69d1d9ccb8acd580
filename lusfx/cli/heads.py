"""``lusfx heads``."""

from __future__ import annotations

import click

from lusfx.cli import terminal


@click.command(name="heads")
@terminal.json_option
def command(as_json: bool) -> None:
    """List the kinds of heads, with their settings and defaults."""
    from lusfx.plugins import load_registry

    heads = load_registry().heads
    if as_json:
        terminal.print_json(
            [
                {
                    "name": spec.name,
                    "summary": spec.summary,
                    "plugin": heads.owner(spec.name),
                    "settings": spec.settings().model_dump(mode="json"),
                }
                for spec in heads.values()
            ]
        )
    else:
        rows = [
            (spec.name, spec.summary, _settings(spec.settings().model_dump(mode="json"))) for spec in heads.values()
        ]
        terminal.print_table(("head", "summary", "settings (--set NAME=VALUE) and defaults"), rows)


def _settings(values: dict[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
