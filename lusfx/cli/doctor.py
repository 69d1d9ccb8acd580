"""``lusfx doctor``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from lusfx.cli import terminal


@click.command(name="doctor")
@click.option("--cache", type=terminal.DIRECTORY, help="A cache to look at as well.")
@terminal.json_option
def command(cache: Path | None, as_json: bool) -> None:
    """Check this installation and this machine. Exit code 1 if anything is wrong."""
    from lusfx.engine.doctor import doctor

    checks = doctor(cache)
    if as_json:
        terminal.print_json([asdict(check) for check in checks])
    else:
        terminal.print_table(("check", "state", "detail"), [(c.name, c.state, c.detail) for c in checks])
    sys.exit(1 if any(check.state == "wrong" for check in checks) else 0)
