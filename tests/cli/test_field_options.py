"""Options that are made from a settings model take what it takes, refuse what it refuses, and say what it says."""

from __future__ import annotations

from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel, Field

from lusfx.cli.field_options import field_options


class Settings(BaseModel):
    """Some of each kind."""

    n_rounds: int = Field(default=3, ge=1, lt=10, description="Rounds.")
    rate: float | None = Field(default=None, gt=0, description="Rate; the method's own if none is given.")
    way: Literal["up", "down"] = Field(default="down", description="Where to.")
    title: str = Field(default="none", description="What it is called.")
    digest: str | None = Field(default=None, description="Made by the program.")


@click.command()
@field_options(Settings, leave_out=["digest"])
def command(**settings: Any) -> None:
    click.echo(repr(settings))


def run(*arguments: str) -> Any:
    return CliRunner().invoke(command, arguments)


def test_without_options_the_models_defaults_are_given() -> None:
    assert run().output.strip() == repr(Settings().model_dump(exclude={"digest"}))


def test_options_are_given_with_their_types() -> None:
    given = run("--n-rounds", "9", "--rate", "0.5", "--way", "up", "--title", "x")
    assert given.output.strip() == repr({"n_rounds": 9, "rate": 0.5, "way": "up", "title": "x"})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--n-rounds", "0"),
        ("--n-rounds", "10"),
        ("--n-rounds", "1.5"),
        ("--rate", "0"),
        ("--way", "left"),
        ("--digest", "ab"),
    ],
)
def test_what_the_model_refuses_is_a_usage_error(option: str, value: str) -> None:
    refused = run(option, value)
    assert refused.exit_code == 2
    assert option in refused.output


def test_help_has_the_fields_in_their_order_with_ranges_and_defaults() -> None:
    said = " ".join(run("--help").output.split())
    parts = [
        "--n-rounds INTEGER RANGE Rounds. [default: 3; 1<=x<10]",
        "--rate FLOAT RANGE Rate; the method's own if none is given. [x>0]",
        "--way [up|down] Where to. [default: down]",
        "--title TEXT What it is called. [default: none]",
    ]
    assert [said.find(part) for part in parts] == sorted(said.find(part) for part in parts)
    assert all(part in said for part in parts)
    assert "--digest" not in said
