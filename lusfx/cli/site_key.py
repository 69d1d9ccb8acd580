"""``lusfx site-key``."""

from __future__ import annotations

import click

from lusfx.cli import output, terminal


@click.command(name="site-key")
@click.option("--make", is_flag=True, help="Make a key if there is none.")
@terminal.json_option
def command(make: bool, as_json: bool) -> None:
    """Show which site key is in use: where it lies, and what tells it from others.

    Pseudonyms of patients are made with it, so all who work on one archive need the same one. The first extraction makes it.
    The check is no secret; caches and task models keep it. The key itself is shown to nobody.
    """
    from lusfx.site_key import SiteKey, site_key_file

    key, file = SiteKey.load(make=make), site_key_file()
    if as_json:
        terminal.print_json({"file": str(file), "check": key.check})
        return
    output.say(f"file: {file}")
    output.say(f"check: {key.check}")
