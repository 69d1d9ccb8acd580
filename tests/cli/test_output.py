"""What commands say is all that standard output holds, and nothing in it acts on a terminal."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout

import click
import pytest
from click.testing import CliRunner

from lusfx import cli
from lusfx.cli import output, terminal
from lusfx.errors import LusfxError


@click.group()
def group() -> None:
    """A group."""


@group.command()
def talk() -> None:
    """Say and print."""
    print("printed")
    output.say("said")
    terminal.print_json({"a": 1})


def test_what_a_command_says_is_apart_from_what_is_printed() -> None:
    done = CliRunner().invoke(output.with_own_output(group), ["talk"], catch_exceptions=False)
    assert done.stdout == 'said\n{\n  "a": 1\n}\n'
    assert done.stderr == "printed\n"
    helped = CliRunner().invoke(group, ["talk", "--help"], catch_exceptions=False)
    assert "Say and print." in helped.stdout


def test_nothing_acts_on_a_terminal_and_a_row_is_a_line() -> None:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        terminal.print_table(("a", "b"), [("x\ny", "\x1b[2J"), ("\ud800", "\u202eb")])
        output.say("two\nlines\r")
        output.say("\x9b2J", err=True)
    assert out.getvalue().splitlines() == [
        "a       b",
        "x\\ny    \\x1b[2J",
        "\\ud800  \\u202eb",
        "two",
        "lines\\r",
    ]
    assert err.getvalue() == "\\x9b2J\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE])
def test_an_output_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises((LusfxError, BrokenPipeError)) as caught:
        output.say("x")
    assert isinstance(caught.value, BrokenPipeError) == (number == errno.EPIPE)  # which click ends quietly


def test_what_the_system_refuses_is_one_line_without_a_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/exams/CANARY")

    monkeypatch.setattr(cli.group, "main", refused)
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert capsys.readouterr().err == "Error: the system refused a file or folder: Permission denied\n"


@pytest.mark.parametrize("kind", [terminal.DIRECTORY, terminal.FILE, terminal.ANY_PATH])
def test_an_empty_text_is_not_the_working_folder(kind: terminal.PathType) -> None:
    with pytest.raises(click.BadParameter, match="an empty text is no path"):
        kind.convert("", None, None)


@pytest.mark.parametrize("seed", ["-1", str(2**31)])
def test_a_seed_that_no_generator_takes_is_refused_at_once(seed: str) -> None:
    command = terminal.seed_option(click.Command("c", callback=lambda seed: None))
    assert CliRunner().invoke(command, ["--seed", seed]).exit_code == 2
