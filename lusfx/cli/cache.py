"""``lusfx cache``: info, verify, troubles, repair, explain, pack, gc."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lusfx.cli import output, terminal
from lusfx.messages import counted, short

if TYPE_CHECKING:
    from lusfx.cache import Finding
    from lusfx.config import Precision

VERDICTS = {
    "hit": "hit: extract takes this clip from the cache",
    "damaged": "damaged: the clip is in the cache, but its file is not what was written. Run: lusfx cache repair",
    "other-fingerprint": "miss: the cache holds this clip, but under other feature specs",
    "never-encoded": "miss: the cache holds nothing of this content",
}


@click.group(name="cache")
def command() -> None:
    """Look into a cache, check it, and tidy it."""


@command.command()
@terminal.cache_option
@terminal.json_option
def info(cache: Path, as_json: bool) -> None:
    """Count what a cache holds."""
    from lusfx.cache import Cache
    from lusfx.cache import info as count

    held = count(Cache.open(cache))
    if as_json:
        terminal.print_json(held.as_dict())
        return
    rows = [
        (
            short(s.fingerprint),
            s.encoder,
            str(s.dim),
            s.stored_dtype,
            "all" if s.fps is None else f"{s.fps:g} a second",
            str(s.n_clips),
            f"{s.n_packed} in {s.n_packs}",
            f"{s.n_bytes / 1e6:.1f} MB",
        )
        for s in held.stores
    ]
    terminal.print_table(("fingerprint", "encoder", "dim", "stored as", "frames", "clips", "packed", "size"), rows)
    output.say(
        f"{counted(held.n_runs, 'run')}, {counted(held.n_patients, 'known patient')}, "
        f"{counted(held.n_quarantined, 'file')} in quarantine"
    )


@command.command()
@terminal.cache_option
@terminal.json_option
def verify(cache: Path, as_json: bool) -> None:
    """Read everything and check it. Exit code 1 if anything is damaged."""
    from lusfx.cache import Cache
    from lusfx.cache import verify as check

    result = check(Cache.open(cache))
    if as_json:
        terminal.print_json(result.as_dict())
    else:
        for finding in result.findings:
            output.say(f"{finding.code}: {finding.file}: {finding.detail}")
        state = "sound" if result.sound else "DAMAGED. Run: lusfx cache repair"
        output.say(f"{counted(result.n_clips, 'clip')} and {counted(result.n_runs, 'run')} checked: {state}")
    sys.exit(0 if result.sound else 1)


@command.command()
@terminal.cache_option
@click.option("--accept", type=terminal.FILE, help="Write them to this table (CSV or Parquet), for --known-bad.")
@terminal.force_option
@terminal.json_option
def troubles(cache: Path, accept: Path | None, force: bool, as_json: bool) -> None:
    """List the sources that failed in the latest run that came to them.

    A table that --accept writes makes extract and score take these failures as known: they are counted apart, and are no
    reason for exit code 3. One that then fails with another code is news.
    """
    from lusfx.cache import Cache
    from lusfx.cache import troubles as failed
    from lusfx.engine.extraction.known_bad import write_known_bad
    from lusfx.outputs import prepare_files
    from lusfx.tables import check_table_name

    if accept is not None:
        check_table_name(accept)
    prepare_files({"table of known bad files": accept}, force=force)
    entries = failed(Cache.open(cache))
    if accept is not None and entries:
        write_known_bad(accept, entries)
    if as_json:
        terminal.print_json([{"source": e.source, "code": e.code, "detail": e.detail} for e in entries])
        return
    if entries:
        terminal.print_table(("source", "code", "detail"), [(e.source, e.code or "", e.detail or "") for e in entries])
    accepted = "" if accept is None else "; taken as known" if entries else "; no table was written"
    output.say(f"{counted(len(entries), 'source')} failed{accepted}")


@command.command()
@terminal.cache_option
@terminal.json_option
def repair(cache: Path, as_json: bool) -> None:
    """Set damaged files aside, so that the next extraction encodes their clips again.

    The sound clips of a damaged pack and the sound lines of a ledger are kept.

    Exit code: 0 all done, 1 error, 3 done but something that is damaged was left where it is.
    """
    from dataclasses import asdict

    from lusfx.cache import Cache
    from lusfx.cache import repair as set_aside

    left: list[Finding] = []
    findings = set_aside(Cache.open(cache), left.append)
    if as_json:
        terminal.print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            output.say(f"set aside: {finding.file}")
        output.say(
            f"{counted(len(findings), 'damaged file')} set aside; run lusfx extract again to encode their clips anew"
        )
    _name_left({finding.file: finding.detail for finding in left})


@command.command()
@click.argument("clip", type=terminal.FILE)
@terminal.cache_option
@click.option("--encoder", help="The encoder that extract would use.  [default: lung-lite0]")
@terminal.precision_option
@terminal.fps_option
@terminal.json_option
def explain(
    clip: Path, cache: Path, encoder: str | None, precision: Precision, fps: float | None, as_json: bool
) -> None:
    """Say why CLIP is a hit or a miss, naming what differs."""
    from lusfx.encoders import DEFAULT_ENCODER
    from lusfx.engine.explain import explain as explain_clip

    result = explain_clip(clip, cache, encoder=encoder or DEFAULT_ENCODER, precision=precision, fps=fps)
    if as_json:
        terminal.print_json(result.as_dict())
        return
    output.say(f"clip {short(result.clip)}, fingerprint {short(result.fingerprint)}")
    output.say(VERDICTS[result.verdict])
    for miss in result.misses:
        output.say(f"  {short(miss.fingerprint)} differs in:")
        for name, (there, wanted) in miss.differing.items():
            output.say(f"    {name}: {there} there, {wanted} wanted")


@command.command()
@terminal.cache_option
@click.option("--fingerprint", "fingerprints", multiple=True, help="Pack these features only; may be repeated.")
@terminal.json_option
def pack(cache: Path, fingerprints: tuple[str, ...], as_json: bool) -> None:
    """Put loose clips into large files, which are read many times as fast.

    Others may read, extract and pack at the same time. Older versions of lusfx refuse a cache that was packed.

    Exit code: 0 all done, 1 error, 3 done but some clips are damaged, which were left as they are.
    """
    from lusfx.cache import Cache
    from lusfx.cache import pack as put_together

    with terminal.count_bar("pack") as progress:
        packing = put_together(Cache.open(cache), fingerprints=fingerprints, progress=progress)
    if as_json:
        terminal.print_json(packing.as_dict())
    else:
        output.say(packing.summary())
        if packing.damaged:
            output.say("damaged clips were left where they are. Run: lusfx cache repair, then extract them again")
    sys.exit(terminal.EXIT_SOME_FAILED if packing.damaged else 0)


@command.command()
@terminal.cache_option
@click.option("--fingerprint", "fingerprints", multiple=True, help="Remove these features; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@terminal.json_option
def gc(cache: Path, fingerprints: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Remove what killed runs left behind, what is in quarantine, and the features that are named.

    Exit code: 0 all done, 1 error, 3 done but something else lies where files were to be removed, which was left.
    """
    from lusfx.cache import Cache
    from lusfx.cache import gc as tidy

    removal = tidy(Cache.open(cache), fingerprints=fingerprints, dry_run=dry_run)
    if as_json:
        terminal.print_json(removal.as_dict())
    else:
        verb = "would be removed" if dry_run else "removed"
        left = f", {len(removal.left)} left" if removal.left else ""
        for fingerprint, encoder in removal.features.items():
            output.say(f"features of {encoder}, {short(fingerprint)}: {verb}")
        output.say(f"{counted(len(removal.files), 'file')} of {removal.n_bytes / 1e6:.1f} MB {verb}{left}")
    _name_left(removal.left)


def _name_left(left: Mapping[str, str]) -> None:
    """Say on standard error what was left, and why, and end the command accordingly.

    :param left: the reasons by the names, relative to the cache.
    """
    for name, reason in left.items():
        output.say(f"left: {name}: {reason}", err=True)
    if left:
        sys.exit(terminal.EXIT_SOME_FAILED)
