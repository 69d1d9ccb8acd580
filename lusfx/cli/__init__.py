"""The command line: each command a small module that parses, calls one engine function, and prints.

Nothing but click is imported until a command is run, so that ``lusfx --help`` answers at once.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import sys
from typing import NoReturn

import click

from lusfx.cli.ending import end
from lusfx.cli.output import own_descriptor, say, with_own_output
from lusfx.errors import LusfxError, RunInterruptedError
from lusfx.messages import system_reason
from lusfx.version import __version__

COMMANDS = {
    "demo": "Do all of it on synthetic patients, and write a page about it.",
    "extract": "Encode what the cache lacks.",
    "train-task": "Train a head for a task on cached features.",
    "score": "Answer tasks for clips, and write a table of scores.",
    "evaluate": "Judge a task model on labelled clips that it has not seen.",
    "recalibrate": "Make a model anew whose probabilities fit another place.",
    "export": "Write the features of a cache as a table, for other tools.",
    "inspect": "Draw what the encoder sees of a clip.",
    "cache": "Look into a cache, check it, and tidy it.",
    "model": "Show or check a task model; list the starter models.",
    "tasks": "List the tasks that plugins provide.",
    "encoders": "List the encoders that can be used by name, and import others.",
    "heads": "List the kinds of heads.",
    "plugins": "List the plugins, and what is wrong with those that failed.",
    "new-plugin": "Write a plugin with a task, a head or a reader, to go on from.",
    "synth": "Write an archive of synthetic clips with labels.",
    "pretrain": "Pretrain an encoder on clips without labels.",
    "fine-tune": "Train an encoder on a task end to end.",
    "study": "Compare encoders and ways of learning on labelled clips.",
    "site-key": "Show which site key is in use, or make one.",
    "doctor": "Check this installation and this machine.",
}
"""Every command with its help; ``train-task`` lives in ``lusfx/cli/train_task.py`` as ``command``, and so on."""


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"lusfx.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return with_own_output(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, COMMANDS)
            meant = f" Did you mean {' or '.join(near)}?" if near else " See: lusfx --help"
            raise click.UsageError(f"there is no command '{name}'.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lusfx")
def group() -> None:
    """Encode a lung-ultrasound exam once; answer every question from the cached features."""


def main() -> None:
    """Run the command line; an error becomes one message and its exit code."""
    with own_descriptor():
        _run()


def _run() -> NoReturn:
    try:
        # Not click's own way of ending, in which Ctrl-C before a command listens to it has exit code 1.
        end(group.main(prog_name="lusfx", standalone_mode=False))
    except SystemExit as ended:
        end(ended.code)
    except click.ClickException as error:
        error.show()
        _say_json(error.format_message(), error.exit_code)
        end(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail(RunInterruptedError("interrupted"))
    except LusfxError as error:
        _fail(error)
    except OSError as error:  # its own words name the file, and a traceback does
        _fail(LusfxError(f"the system refused a file or folder: {system_reason(error)}"))


def _say_json(message: str, exit_code: int) -> None:
    """Of a command that was asked for JSON, the error as JSON too: its reader finds no empty text."""
    arguments = sys.argv[1:]
    if "--json" in arguments[: arguments.index("--")] if "--" in arguments else "--json" in arguments:
        with contextlib.suppress(LusfxError, OSError):  # standard output itself may be what failed
            say(json.dumps({"error": {"message": message, "exit_code": exit_code}}, indent=2))


def _fail(error: LusfxError) -> NoReturn:
    say(f"Error: {error}", err=True)
    _say_json(str(error), error.exit_code)
    end(error.exit_code)
