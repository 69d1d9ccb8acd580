"""``lusfx doctor``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from lusfx.cli import terminal


@click.command(name="doctor")
@click.option(
    "--cache",
    type=terminal.DIRECTORY,
    envvar=terminal.CACHE_VARIABLE,
    show_envvar=True,
    help="A cache to look at as well.",
)
@click.option(
    "--sources",
    multiple=True,
    type=terminal.ANY_PATH,
    metavar="FOLDER...",
    help="Sources to look at as well: each is opened and its first frame prepared; nothing is written.",
)
@click.argument("more_sources", nargs=-1, type=terminal.ANY_PATH, metavar="")
@terminal.json_option
def command(cache: Path | None, sources: tuple[Path, ...], more_sources: tuple[Path, ...], as_json: bool) -> None:
    """Check this installation and this machine. Exit code 1 if anything is wrong.

    With --sources also say how many sources an extraction would read, skip and fail on, which other files it would leave out
    and why, and what share of the pictures that is.
    """
    from lusfx.engine.doctor import checks_of, doctor, survey_sources

    if more_sources and not sources:
        raise click.UsageError("name folders after --sources")
    checks = doctor(cache)
    found = survey_sources([*sources, *more_sources]) if sources else None
    if found is not None:
        checks += checks_of(found)
    rows = [asdict(check) for check in checks]
    if as_json:
        terminal.print_json(rows if found is None else {"checks": rows, "sources": found.as_dict()})
    else:
        terminal.print_table(("check", "state", "detail"), [(c.name, c.state, c.detail) for c in checks])
        if found is not None:
            terminal.print_census(found.census)
    sys.exit(1 if any(check.state == "wrong" for check in checks) else 0)
