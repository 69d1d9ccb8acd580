"""What the command line states of shares is what the functions take: commands import the engine only when they run."""

from __future__ import annotations

import click
import pytest

from lusfx.cli.extract import command as extract
from lusfx.cli.score import command as score
from lusfx.cli.train_task import command as train_task
from lusfx.engine.extraction.census import MAX_SKIPPED
from lusfx.engine.training.copied_clips import MAX_SHARE


@pytest.mark.parametrize(
    ("command", "option", "default"),
    [
        (extract, "max_skipped", MAX_SKIPPED),
        (score, "max_skipped", MAX_SKIPPED),
        (train_task, "max_near_duplicates", MAX_SHARE),
    ],
)
def test_a_share_has_one_default(command: click.Command, option: str, default: float) -> None:
    (stated,) = [parameter.default for parameter in command.params if parameter.name == option]
    assert stated == default
