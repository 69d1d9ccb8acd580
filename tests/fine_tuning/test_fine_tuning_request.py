"""The function, the command and the settings of fine-tuning have the same parameters with the same defaults."""

from __future__ import annotations

import inspect

import pytest

import lusfx
from lusfx.cli.fine_tune import command
from lusfx.errors import UsageError
from lusfx.fine_tuning.request import FineTuningRequest
from lusfx.fine_tuning.settings import FineTuningSettings

PARAMETERS = inspect.signature(lusfx.fine_tune).parameters
FOR_PROGRAMS = {"site_key", "progress", "stop"}
"""Parameters of the function that are no options of the command."""


def test_the_function_has_the_parameters_of_the_request() -> None:
    assert inspect.signature(FineTuningRequest).parameters == PARAMETERS
    assert [name for name, parameter in PARAMETERS.items() if parameter.kind is not parameter.KEYWORD_ONLY] == [
        "task",
        "labels",
        "out",
    ]


def test_the_function_has_every_setting_with_its_default() -> None:
    for name, field in FineTuningSettings.model_fields.items():
        assert PARAMETERS[name].default == field.default, name


def test_the_command_gives_every_parameter_its_default() -> None:
    given = command.make_context("command", ["b-lines", "--labels", "labels.csv", "--out", "model"]).params
    del given["as_json"]
    assert given.keys() == PARAMETERS.keys() - FOR_PROGRAMS
    for name in given.keys() - {"task", "labels", "out"}:
        assert given[name] == PARAMETERS[name].default, name


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"n_folds": 1}, "a cross-validation has at least 2 folds and 1 repeat"),
        ({"n_repeats": 0}, "a cross-validation has at least 2 folds and 1 repeat"),
        ({"frames_per_clip": 0}, "frames-per-clip: at least one frame of a clip is needed"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(changed: dict[str, int], said: str) -> None:
    request = FineTuningRequest("task", "labels.csv", "model", **changed)
    with pytest.raises(UsageError, match=said):
        request.check()
