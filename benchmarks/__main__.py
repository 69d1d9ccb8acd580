"""``python -m benchmarks``: measure, print, keep, and make a page of what was kept."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.catalogue import BENCHMARKS, benchmark
from benchmarks.machine import machine
from benchmarks.page import page
from benchmarks.request import Device, Request, Size
from lusfx.errors import LusfxError

FORMAT_VERSION = 2


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.argument("names", metavar="[NAME]...", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option("--size", type=click.Choice(["small", "full"]), default="small", help="'full' is for figures to be kept.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="CPU threads; 0 for all.")
@click.option("--encoder", "encoders", multiple=True, help="In place of a benchmark's own choice; may be repeated.")
@click.option(
    "--clips",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of videos that extraction is measured on, in place of synthetic ones.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory to keep the results in, a file a benchmark; those of an earlier run are replaced.",
)
@click.option(
    "--page",
    "results",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Print the page about the results that this directory keeps, and measure nothing.",
)
def main(
    names: tuple[str, ...],
    size: Size,
    device: Device,
    threads: int,
    encoders: tuple[str, ...],
    clips: Path | None,
    out: Path | None,
    results: Path | None,
) -> None:
    """Measure lusfx against named rivals in the same run: all benchmarks, or those that are named."""
    if results is not None:
        if names or out is not None:
            raise click.UsageError("--page measures nothing: leave out names and --out")
        click.echo(page([json.loads(file.read_text(encoding="utf-8")) for file in kept(results)]), nl=False)
        return
    request = Request(size, device, threads, encoders, lambda text: click.echo(text, err=True), clips)
    # Taken once: after the first benchmark the load would be our own.
    run = {"id": secrets.token_hex(4), "machine": machine(request)}
    for name in names or BENCHMARKS:
        head = {"benchmark": name, "format_version": FORMAT_VERSION, "command": _command([name], request), "size": size}
        try:
            result = head | {"run": run["id"], "machine": run["machine"]} | benchmark(name).measure(request)
        except LusfxError as error:
            raise click.ClickException(f"{name}: {error}") from error
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            (out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        click.echo(benchmark(name).summary(result), nl=False)


def kept(results: Path) -> list[Path]:
    """Files of results, in the order of the catalogue."""
    return [file for name in BENCHMARKS if (file := results / f"{name}.json").exists()]


def _command(names: Sequence[str], request: Request) -> str:
    """The command that does the same again; where its result is kept changes nothing."""
    words = ["python -m benchmarks", *names, f"--size {request.size}", f"--device {request.device}"]
    words += [f"--threads {request.threads}"] if request.threads else []
    words += ["--clips DIR"] if request.clips else []  # its name says nothing to anybody else, or too much
    return " ".join([*words, *(f"--encoder {encoder}" for encoder in request.encoders)])


if __name__ == "__main__":
    sys.exit(main())
