"""``lusfx encoders``: the list, recipes, import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lusfx.cli import output, terminal
from lusfx.messages import counted

if TYPE_CHECKING:
    from lusfx.contracts.recipe import TokenPooling


@click.group(name="encoders", invoke_without_command=True)
@terminal.json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the encoders that can be used by name, and import others.

    An encoder directory can be used by its path as well.
    """
    if context.invoked_subcommand is not None:
        return
    from lusfx.encoders import DEFAULT_ENCODER
    from lusfx.plugins import load_registry

    registry = load_registry()
    encoders = registry.encoders
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
        return
    rows = [
        (f"{entry['name']}{' (default)' if entry['default'] else ''}", str(entry["licence"]), str(entry["summary"]))
        for entry in listed
    ]
    terminal.print_table(("encoder", "licence", "summary"), rows)
    if registry.recipes.names():
        n = counted(len(registry.recipes.names()), "recipe")
        output.say(f"{n} to import others from their authors' files: lusfx encoders recipes")


@command.command()
@terminal.json_option
def recipes(as_json: bool) -> None:
    """List the recipes that import knows by name.

    With their licences, which file each is for, and where to ask for it.
    """
    from lusfx.plugins import load_registry

    known = load_registry().recipes
    if as_json:
        terminal.print_json(
            [{"plugin": known.owner(r.name)} | r.model_dump(mode="json", by_alias=True) for r in known.values()]
        )
    elif not known.names():
        output.say("no plugin brings a recipe. Install lusfx-ultrasound-encoders, or name a TOML file")
    else:
        rows = [(r.name, r.licence.name, r.checkpoint.file, r.checkpoint.repository, r.summary) for r in known.values()]
        terminal.print_table(("recipe", "licence", "file", "ask for it at", "summary"), rows)


@command.command(name="import")
@click.argument("recipe")
@click.argument("file", type=terminal.FILE)
@click.option("--out", required=True, type=terminal.ANY_PATH, help="Directory of the new encoder.")
@click.option(
    "--layer", help="Layer that is taken, in place of the recipe's: timm's name, or block-8 for the eighth block."
)
@click.option(
    "--pooling",
    type=click.Choice(["own", "map-mean", "tokens-mean", "class-token"]),
    help="How the layer becomes one vector, in place of the recipe's way; 'own' goes with the layer global-pool.",
)
@click.option("--size", type=click.IntRange(16, 1024), help="Side of the input in pixels, in place of the recipe's.")
@terminal.json_option
def import_command(
    recipe: str, file: Path, out: Path, layer: str | None, pooling: TokenPooling | None, size: int | None, as_json: bool
) -> None:
    """Make an encoder directory of a checkpoint.

    RECIPE is a name that 'lusfx encoders recipes' lists, or a TOML file that holds one. FILE is safetensors, or of torch.save
    (.pt, .pth); tensors alone are read, and no code in it is run. Each tensor of the network must be there, and nothing may
    be left over but what the recipe drops.
    """
    from lusfx.engine.encoder_import import import_encoder

    result = import_encoder(recipe, file, out, layer=layer, pooling=pooling, size=size)
    terminal.print_result(result, as_json=as_json)
    if not as_json:
        output.say("next: lusfx extract SOURCES... --cache CACHE --encoder DIRECTORY")
