"""A check can be expected to fail, by its name and with a reason; pytest of every supported version runs the kit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest

from lusfx.testing import Conformance, EncoderConformance, HeadConformance, ReaderConformance, TaskConformance

KITS = (TaskConformance, HeadConformance, EncoderConformance, ReaderConformance)

PLUGIN = '''
from lusfx.contracts import Task
from lusfx.testing import TaskConformance


class Effusion(Task):
    """Pleural effusion, one answer a clip."""

    name = "made-up-effusion"
    label_columns = ("effusion",)


class BlankIsNo(Effusion):
    """Pleural effusion, where what is not written is not there."""

    def target(self, cells):
        return int(cells["effusion"] == "1")


class TestEffusion(TaskConformance):
    task = Effusion()
    is_plugin = False


class TestBlankIsNo(TaskConformance):
    task = BlankIsNo()
    is_plugin = False


class TestBlankIsNoAndWeKnow(TestBlankIsNo):
    expected_failures = {
        "blank_is_not_known": "the table has no blanks",
        "nonsense_is_no_label": "nor nonsense",
        "attributes": "it was wrong once",
    }
'''

OF_A_MODEL = [name for name in TaskConformance.checks() if name.startswith(("learns", "scor"))]

RunPytest = Callable[..., str]


@pytest.fixture
def run_pytest(tmp_path: Path) -> RunPytest:
    """Runs a test file outside every package in a process of its own; its output comes back."""

    def run(source: str, *options: str, exit_code: int = 0) -> str:
        (tmp_path / "test_plugin.py").write_text(source, encoding="utf-8")
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "-rA", *options, "."]
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **NO_PLUGINS}, capture_output=True, text=True, check=False
        )
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done.stdout

    return run


NO_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
"""Nothing but pytest: what is tested must not need a plugin of this environment."""


@pytest.mark.slow
def test_pytest_runs_the_checks_of_a_file_outside_every_package(run_pytest: RunPytest) -> None:
    # One of the classes trains and scores; that takes seconds.
    said = run_pytest(PLUGIN, "-k", "TestEffusion or not (learns or scor)", exit_code=1)
    lines = {line for line in said.splitlines() if line.startswith(("FAILED", "XFAIL", "XPASS", "ERROR"))}
    expected = {
        # The reason is given; what fails shows its values.
        "FAILED test_plugin.py::TestBlankIsNo::test_blank_is_not_known - AssertionErr...",
        "FAILED test_plugin.py::TestBlankIsNo::test_nonsense_is_no_label - AssertionE...",
        "XFAIL test_plugin.py::TestBlankIsNoAndWeKnow::test_blank_is_not_known - the table has no blanks",
        "XFAIL test_plugin.py::TestBlankIsNoAndWeKnow::test_nonsense_is_no_label - nor nonsense",
        "FAILED test_plugin.py::TestBlankIsNoAndWeKnow::test_attributes - [XPASS(stri...",
    }
    assert {line.split(" - ")[0] for line in lines} == {line.split(" - ")[0] for line in expected}
    assert {line for line in lines if line.startswith("XFAIL")} == {x for x in expected if x.startswith("XFAIL")}
    assert "a row of '' is taken for a label" in said
    assert "assert {0} == {-1}" in said.replace("set(", "").replace("(self._outcomes(row))", "")
    assert "[XPASS(strict)] it was wrong once" in said
    n_not_applicable = 7  # no plugin, no pooling of its own, no aggregation
    n_passed = 3 * (len(TaskConformance.checks()) - n_not_applicable) - 5 - 2 * len(OF_A_MODEL)
    assert f"{n_passed} passed, {2 * len(OF_A_MODEL)} deselected, 2 xfailed" in said


def test_every_check_says_what_it_is_about() -> None:
    for kit in KITS:
        assert kit.checks() == sorted(set(kit.checks()))
        for name in kit.checks():
            assert getattr(kit, f"test_{name}").__doc__, f"{kit.__name__}: {name}"


def test_the_base_has_no_checks() -> None:
    assert Conformance.checks() == []


def test_an_unknown_check_cannot_be_expected_to_fail() -> None:
    with pytest.raises(TypeError, match="Kit expects 'no_such_check' to fail; the checks are: attributes, "):
        type("Kit", (HeadConformance,), {"expected_failures": {"no_such_check": "why"}})
    with pytest.raises(TypeError, match="expects 'checks' to fail"):
        type("Kit", (HeadConformance,), {"expected_failures": {"checks": "why"}})


@pytest.mark.parametrize("reason", ["", "  ", None])
def test_an_expected_failure_has_a_reason(reason: str | None) -> None:
    with pytest.raises(TypeError, match="expects 'settings' to fail and does not say why"):
        type("Kit", (HeadConformance,), {"expected_failures": {"settings": reason}})


class Own(Conformance):
    """A kit of two checks."""

    def test_one(self, *, wanted: int = 1) -> None:
        """Fails."""
        assert wanted == 2

    @pytest.mark.parametrize("value", [1, 2])
    def test_many(self, value: int) -> None:
        """Has a mark of its own."""


def marks(kit: type[Conformance], check: str) -> list[str]:
    return [mark.name for mark in getattr(getattr(kit, f"test_{check}"), "pytestmark", [])]


def test_a_check_that_does_not_apply_is_none_and_a_class_made_from_it_may_have_it() -> None:
    class Other(HeadConformance):
        is_plugin = False

    class Registered(Other):
        is_plugin = True

    assert "is_registered" in HeadConformance.checks()
    assert Other.not_applicable() == {"is_registered": "no plugin provides it"}
    assert Other.checks() == [name for name in HeadConformance.checks() if name != "is_registered"]
    assert Registered.checks() == HeadConformance.checks()
    with pytest.raises(
        TypeError, match="expects 'is_registered' to fail, and it does not apply: no plugin provides it"
    ):
        type("Kit", (Other,), {"expected_failures": {"is_registered": "why"}})


def test_an_expected_failure_marks_neither_its_base_nor_its_siblings() -> None:
    class First(Own):
        expected_failures = MappingProxyType({"one": "never 2", "many": "no"})

    class Second(Own):
        pass

    assert (marks(First, "one"), marks(First, "many")) == (["xfail"], ["parametrize", "xfail"])
    for kit in (Own, Second):
        assert (marks(kit, "one"), marks(kit, "many")) == ([], ["parametrize"])
    assert First.test_one.__doc__ == Own.test_one.__doc__
    with pytest.raises(AssertionError):
        First().test_one()  # defaults of keywords are kept


def test_a_subclass_has_its_own_expectations() -> None:
    class First(Own):
        expected_failures = MappingProxyType({"one": "never 2"})

    class Inherits(First):
        pass

    class Mended(First):
        expected_failures = MappingProxyType({})

    class Other(First):
        expected_failures = MappingProxyType({"one": "another reason"})

    assert (marks(Inherits, "one"), marks(Mended, "one"), marks(First, "one")) == (["xfail"], [], ["xfail"])
    assert marks(Other, "one") == ["xfail"]
    (mark,) = Other.test_one.pytestmark
    assert mark.kwargs == {"reason": "another reason", "strict": True}
