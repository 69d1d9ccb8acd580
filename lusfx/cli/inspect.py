"""``lusfx inspect``."""

from __future__ import annotations

from pathlib import Path

import click

from lusfx.cli import output, terminal


@click.command(name="inspect")
@click.argument("clip", type=terminal.FILE)
@click.option("--out", required=True, type=terminal.FILE, help="PNG file to write.")
@click.option("--encoder", help="Whose preprocessing is shown.  [default: lung-lite0]")
@click.option("--frame", type=click.IntRange(min=0), default=0, show_default=True, help="Which frame.")
@terminal.force_option
@terminal.json_option
def command(clip: Path, out: Path, encoder: str | None, frame: int, force: bool, as_json: bool) -> None:
    """Draw a frame of CLIP, the beam that was found in it, the crop, and the encoder's input side by side.

    The picture shows the patient's images, and whatever is burnt into them: treat it as patient data.
    """
    from lusfx.encoders import DEFAULT_ENCODER
    from lusfx.engine.inspect import inspect

    result = inspect(clip, out, encoder=encoder or DEFAULT_ENCODER, frame=frame, force=force)
    if as_json:
        terminal.print_json(result.as_dict())
        return
    facts = result.as_dict()
    for name, value in facts.items():
        output.say(f"{name}: {', '.join(value) if name == 'notes' else value}")
