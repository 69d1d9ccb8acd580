"""``lusfx plugins``."""

from __future__ import annotations

import click

from lusfx.cli import output, terminal


@click.command(name="plugins")
@terminal.json_option
def command(as_json: bool) -> None:
    """List the plugins, what each provides, and what is wrong with those that failed."""
    from lusfx.plugins import load_registry

    registry = load_registry()
    catalogues = (registry.tasks, registry.encoders, registry.recipes, registry.heads, registry.readers)
    clashes = [(c.kind, name, owners) for c in catalogues for name, owners in sorted(c.clashes.items())]
    if as_json:
        terminal.print_json(
            {
                "plugins": [
                    {"name": p.name, "distribution": p.distribution, "error": p.error, "provides": list(p.provides)}
                    for p in registry.plugins
                ],
                "clashes": [{"kind": kind, "name": name, "claimed_by": owners} for kind, name, owners in clashes],
            }
        )
        return
    for plugin in registry.plugins:
        output.say(f"{plugin.name} ({plugin.distribution}): {'FAILED' if plugin.error else 'ok'}")
        if plugin.error:
            output.say(f"  {plugin.error}")
        for provided in plugin.provides:
            output.say(f"  {provided}")
    for kind, name, owners in clashes:
        output.say(f"CLASH: the {kind} '{name}' is claimed by {' and by '.join(owners)}; neither can be used")
