"""``python -m benchmarks``: measure, print, keep, and make a page of what was kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from benchmarks.catalogue import BENCHMARKS, benchmark
from benchmarks.machine import machine
from benchmarks.page import page
from benchmarks.request import Device, Request, Size
from lusfx.errors import LusfxError

FORMAT_VERSION = 1


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.argument("name", required=False, type=click.Choice(sorted(BENCHMARKS)))
@click.option("--size", type=click.Choice(["small", "full"]), default="small", help="'full' is for figures to be kept.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="CPU threads; 0 for all.")
@click.option("--encoder", "encoders", multiple=True, help="In place of the benchmark's own choice; may be repeated.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Where to keep the result.")
@click.option(
    "--page",
    "results",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Print the page about a kept result, and measure nothing; may be repeated.",
)
def main(
    name: str | None,
    size: Size,
    device: Device,
    threads: int,
    encoders: tuple[str, ...],
    json_file: Path | None,
    results: tuple[Path, ...],
) -> None:
    """Measure lusfx against a named rival in the same run."""
    if bool(name) == bool(results):
        raise click.UsageError(f"name one benchmark ({', '.join(sorted(BENCHMARKS))}), or results with --page")
    if name is None:
        click.echo(page([json.loads(path.read_text(encoding="utf-8")) for path in results]), nl=False)
        return
    request = Request(size, device, threads, encoders, lambda text: click.echo(text, err=True))
    head = {
        "benchmark": name,
        "format_version": FORMAT_VERSION,
        "command": _command(name, request),
        "size": size,
        "machine": machine(request),
    }
    try:
        result = head | benchmark(name).measure(request)
    except LusfxError as error:
        raise click.ClickException(str(error)) from error
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    click.echo(benchmark(name).summary(result), nl=False)


def _command(name: str, request: Request) -> str:
    """The command that does the same again; where its result is kept changes nothing."""
    words = ["python -m benchmarks", name, f"--size {request.size}", f"--device {request.device}"]
    words += [f"--threads {request.threads}"] if request.threads else []
    return " ".join([*words, *(f"--encoder {encoder}" for encoder in request.encoders)])


if __name__ == "__main__":
    sys.exit(main())
