"""What the commands share of talking to a terminal: options, progress, signals, JSON."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import click

from lusfx.arguments import STARTER
from lusfx.cli import output
from lusfx.cli.bar import Stand, bar
from lusfx.cli.ending import end_at_once
from lusfx.errors import RunInterruptedError, UsageError
from lusfx.messages import counted, one_line

if TYPE_CHECKING:
    from lusfx.engine.extraction.census import Census
    from lusfx.engine.extraction.extract import ExtractResult, Progress

EXIT_NOTHING, EXIT_SOME_FAILED, EXIT_NOT_HANDED_OVER = 1, 3, 4
LISTED_TROUBLES = 20
"""Sources that are listed one by one."""
CENSUS_ROWS = 12
"""Of the table of what was left out."""
EXIT_INTERRUPTED = RunInterruptedError.exit_code


class PathType(click.Path):
    """A path that messages do not repeat: it can name a patient, and messages end up in the logs of schedulers."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See :meth:`click.Path.convert`. An empty text, of a variable that is not set say, is no path, and not this folder."""
        if value == "":
            self.fail("an empty text is no path", param, ctx)
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            kind = "directory" if not self.file_okay else "file"
            self.fail(f"what has this name is no {kind}, or cannot be read", param, ctx)


class ModelType(PathType):
    """A task model: a directory, or the name of a starter model, which stays text (:mod:`lusfx.arguments`)."""

    name = "model"

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See :meth:`click.Path.convert`."""
        if isinstance(value, str) and f"{value}/".startswith(STARTER):
            return value
        return super().convert(value, param, ctx)


CACHE_VARIABLE = "LUSFX_CACHE"
DIRECTORY = PathType(file_okay=False, path_type=Path)
FILE = PathType(dir_okay=False, path_type=Path)
ANY_PATH = PathType(path_type=Path)
MODEL = ModelType()

cache_option = click.option(
    "--cache", required=True, type=DIRECTORY, envvar=CACHE_VARIABLE, show_envvar=True, help="Cache directory."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
fingerprint_option = click.option(
    "--fingerprint", help="Which features, by their fingerprint or its beginning, if the cache holds several."
)
paths_option = click.option(
    "--show-paths",
    is_flag=True,
    help="Name files by their paths. Left out by default: a path can name a patient.",
)
device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to compute."
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    help="CPU threads for the encoder; 0 for as many as there are cores for this process.",
    show_default=True,
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(0, 256),
    help="Decoding processes; 0 decodes in this process.  [default: $LUSFX_WORKERS, or one for two cores, at most 8]",
)
max_skipped_option = click.option(
    "--max-skipped",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    default=0.5,
    show_default=True,
    help="End with exit code 3 if more than this share of the pictures was skipped by code or is claimed by no reader.",
)
known_bad_option = click.option(
    "--known-bad",
    type=FILE,
    help="Table of sources that are known to fail ('lusfx cache troubles --accept'): they are no reason for exit code 3.",
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="What the encoder computes in: bfloat16 on a CPU that has it, float16 on CUDA. Both are faster, "
    "and each makes features of its own.",
)
fps_option = click.option(
    "--fps",
    type=click.FloatRange(0, 1000, min_open=True),
    metavar="N",
    help="Encode N frames of each second, chosen by their times, in place of all; they are features of their own.",
)
runtime_option = click.option(
    "--runtime",
    type=click.Choice(["auto", "onnxruntime", "openvino", "torch"]),
    default="auto",
    show_default=True,
    help="What computes the encoder.",
)
other_site_key_option = click.option(
    "--other-site-key",
    is_flag=True,
    help="Go on with a cache that was extracted with another site key; its patients are not recognised.",
)
trust_table_option = click.option(
    "--trust-table",
    is_flag=True,
    help="Believe the label table's patients if the files say otherwise, or the cache has another site key.",
)
dataset_option = click.option(
    "--dataset",
    metavar="NAME",
    help="Data set that the label table is of, in place of its column 'dataset': warn if the encoder has seen it.",
)
force_option = click.option(
    "--force", is_flag=True, help="Replace what is there already. Without it nothing that is there is touched."
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**31, max_open=True),
    default=0,
    show_default=True,
    help="Seed of everything random.",
)


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print one JSON value on standard output; NaN becomes null."""
    output.say(json.dumps(_without_nan(value), indent=2))


class Result(Protocol):
    """What a command's function found out."""

    @property
    def warnings(self) -> Sequence[str]: ...

    def summary(self) -> str: ...

    def as_dict(self) -> dict[str, Any]: ...


def print_result(result: Result, *, as_json: bool) -> None:
    """Print a result: for programs whole, for people its warnings, on standard error, and its summary."""
    if as_json:
        print_json(result.as_dict())
        return
    for warning in result.warnings:
        output.say(f"warning: {warning}", err=True)
    output.say(result.summary())


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - the test for NaN
        return None
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, to_errors: bool = False) -> None:
    """Print columns padded to their widest cell; the last one runs on. A row is a line, whatever is in its cells."""
    shown = [[one_line(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in shown) for i in range(len(header) - 1)]
    for row in shown:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        output.say("  ".join([*cells, row[-1]]).rstrip(), err=to_errors)


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Set the event on the first Ctrl-C or SIGTERM; a second one ends the program at once, whatever its threads do."""
    stop = threading.Event()

    def ask_to_stop(signum: int, frame: FrameType | None) -> None:
        if stop.is_set():
            end_at_once(EXIT_INTERRUPTED, "Error: interrupted")
        stop.set()

    before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def naming_sources(show_paths: bool) -> Iterator[None]:
    """Say which sources do not exist: by their numbers, and by their names where those were asked for."""
    try:
        yield
    except UsageError as error:
        paths = getattr(error, "paths", ())  # of MissingSourcesError, whose module is heavy
        if not paths:
            raise
        hint = f": {', '.join(map(str, paths))}" if show_paths else ". Run again with --show-paths to see which"
        raise UsageError(f"{error}{hint}") from None


def progress_bar(label: str) -> AbstractContextManager[Callable[[Progress], None] | None]:
    """The bar of clips that are encoded, with the rate of frames."""
    started = time.monotonic()

    def stand(progress: Progress) -> Stand:
        rate = progress.frames / max(time.monotonic() - started, 1e-9)
        return Stand(label, progress.settled, progress.found, f"clips  {rate:.0f} frames/s")

    return bar(stand)


def count_bar(label: str) -> AbstractContextManager[Callable[[int, int], None] | None]:
    """The bar of so many clips of so many."""
    return bar(lambda done, of: Stand(label, done, of, "clips"))


def report_extraction(result: ExtractResult, show_paths: bool, *, to_errors: bool = False) -> None:
    """Print the line that adds up, after what there is to say of single sources.

    :param to_errors: whether standard output is for something else.
    """
    news = [trouble for trouble in result.troubles if not result.is_known_bad(trouble)]
    news.sort(key=lambda trouble: trouble.status)  # what failed before what was skipped
    for trouble in news[:LISTED_TROUBLES]:
        place = str(trouble.path) if show_paths else f"{trouble.where} ({trouble.source_key})"
        output.say(f"{trouble.status}: {place}: {trouble.detail} [{trouble.code}]", err=True)
    if more := Counter(trouble.code for trouble in news[LISTED_TROUBLES:]):
        codes = ", ".join(f"{code} {n}" for code, n in more.most_common())
        output.say(f"and {more.total()} more: {codes} (--json lists all)", err=True)
    if news and not show_paths:
        output.say("(run again with --show-paths to see these files' names)", err=True)
    for note, count in sorted(result.notes.items()):
        output.say(f"note: {counted(count, 'clip')}: {note}", err=True)
    if result.batch_was_reduced:
        output.say(f"note: the encoder ran out of memory; batches of {result.batch_size} frames fitted", err=True)
    if result.not_clips:
        are = "is no clip" if result.not_clips == 1 else "are no clips"
        output.say(f"{counted(result.not_clips, 'other file')} in these folders {are}", err=to_errors)
    print_census(result.census, to_errors=to_errors)
    output.say(result.summary(), err=to_errors)


def print_census(census: Census, *, to_errors: bool = False) -> None:
    """Print a table of what was left out, if anything was."""
    rows = census.rows()
    shown = [(str(count), kind.name, why.in_words) for kind, why, count in rows[:CENSUS_ROWS]]
    if rest := sum(count for _, _, count in rows[CENSUS_ROWS:]):
        shown.append((str(rest), "other kinds", "see --json"))
    if shown:
        print_table(("left out", "kind", "because"), shown, to_errors=to_errors)


def extraction_exit_code(result: ExtractResult) -> int:
    """0 all done, 1 nothing came of it, 3 some sources failed or too many pictures were skipped, 130 interrupted.

    Sources that were known to fail are no reason for any of them.
    """
    if result.interrupted:
        return EXIT_INTERRUPTED
    if result.nothing_came_of_it:
        output.say(f"Error: {result.nothing_came_of_it}", err=True)
        return EXIT_NOTHING
    if result.some_are_empty:
        output.say(f"warning: {result.some_are_empty}", err=True)
    too_many = result.too_many_skipped
    if too_many:
        output.say(f"warning: {too_many}", err=True)
    bad = too_many or result.some_are_empty
    return EXIT_SOME_FAILED if bad or result.counts["failed"] > result.n_known_bad else 0
