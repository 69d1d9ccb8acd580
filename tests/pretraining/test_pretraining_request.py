"""The function, the command and the settings of pretraining have the same parameters with the same defaults."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import lusfx
from lusfx.cli.pretrain import command
from lusfx.errors import UsageError
from lusfx.pretraining.request import PretrainingRequest
from lusfx.pretraining.settings import FROM_INITIAL_WEIGHTS, PretrainingSettings

PARAMETERS = inspect.signature(lusfx.pretrain).parameters
FOR_PROGRAMS = {"site_key", "progress", "stop"}
"""Parameters of the function that are no options of the command."""


def test_the_function_has_the_parameters_of_the_request() -> None:
    assert inspect.signature(PretrainingRequest).parameters == PARAMETERS
    assert [name for name, parameter in PARAMETERS.items() if parameter.kind is not parameter.KEYWORD_ONLY] == [
        "sources",
        "out",
    ]


def test_the_function_has_every_setting_with_its_default() -> None:
    for name, field in PretrainingSettings.model_fields.items():
        if name not in FROM_INITIAL_WEIGHTS:
            assert PARAMETERS[name].default == field.default, name
    given = {PARAMETERS[name].default for name in ("encoder", "architecture", "layer", "weights", "size")}
    assert given == {None}  # what nobody names follows from the initial weights


def test_the_command_gives_every_parameter_its_default() -> None:
    given = command.make_context("command", ["clips", "--out", "run"]).params
    del given["as_json"]
    assert given.keys() == PARAMETERS.keys() - FOR_PROGRAMS
    for name in given.keys() - {"sources", "out"}:
        assert given[name] == PARAMETERS[name].default, name


@pytest.mark.parametrize(("probe", "task"), [(Path("labels.csv"), None), (None, "b-lines")])
def test_a_probe_needs_its_table_and_its_task(probe: Path | None, task: str | None) -> None:
    request = PretrainingRequest([], "run", probe=probe, probe_task=task)
    with pytest.raises(UsageError, match="--probe and --probe-task go together"):
        _ = request.labelled_probe
