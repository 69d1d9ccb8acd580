"""A broken plugin is kept out, told of, and harms no other."""

from __future__ import annotations

import os
import signal
import stat
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from lusfx.contracts import API_VERSION, EncoderSpec, Gate, HeadSettings, HeadSpec, Reader, Task
from lusfx.errors import LusfxError, PluginError, UsageError
from lusfx.hookspecs import hookimpl
from lusfx.plugins import Registry, build_registry


class Sliding(Task):
    """Is there sliding?"""

    name = "sliding"
    label_columns = ("sliding",)


@pytest.fixture
def registry_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registry]:
    """Builds a registry of the built-ins and the given modules."""

    def build(**modules: dict[str, object]) -> Registry:
        entries = []
        for name, content in modules.items():
            module = types.ModuleType(f"fake_{name}")
            module.__dict__.update({"LUSFX_API_VERSION": API_VERSION} | content)
            monkeypatch.setitem(sys.modules, module.__name__, module)
            entries.append(EntryPoint(name, module.__name__, "lusfx"))
        return build_registry(entries)

    return build


def tasks(*items: object) -> dict[str, object]:
    def lusfx_register_tasks() -> list[object]:
        return list(items)

    return {"lusfx_register_tasks": hookimpl(lusfx_register_tasks)}


def named(name: str, **attributes: object) -> Task:
    kind = type("Made", (Task,), {"__doc__": "A question?", "name": name, "label_columns": ("x",), **attributes})
    return kind()


BUILT_IN_HEADS = build_registry([]).heads.names()


def test_the_built_ins_are_plugins() -> None:
    registry = build_registry([])
    assert {"lightgbm", "logistic", "mlp"} <= set(registry.heads.names())
    assert registry.encoders.names() == ["efficientnet-lite0", "lung-lite0", "timm"]
    assert {".mp4", ".dcm", ".png"} <= set(registry.readers.names())
    assert registry.failures == []


def test_a_good_plugin_is_used(registry_of: Callable[..., Registry]) -> None:
    registry = registry_of(good=tasks(Sliding()))
    assert registry.task("sliding").question == "Is there sliding?"
    assert registry.failures == []


def raising(error: BaseException) -> Callable[[], list[object]]:
    def lusfx_register_tasks() -> list[object]:
        raise error

    return hookimpl(lusfx_register_tasks)


def misspelt() -> list[object]:
    return []


def lusfx_register_tasks(cache: object) -> list[object]:
    return []


def generating() -> Iterator[Task]:
    yield Sliding()


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise SystemExit("not even this")


class NeedsSettings(HeadSettings):
    depth: int


class HeadOf(HeadSpec):
    summary, settings = "", HeadSettings

    def fit(self, training: object, settings: object, seed: int) -> Any:
        raise AssertionError

    def load(self, files: object) -> Any:
        raise AssertionError


def head(**attributes: object) -> dict[str, object]:
    return {"lusfx_register_heads": hookimpl(lambda: [type("Made", (HeadOf,), attributes)()])}


def reader(suffixes: object) -> dict[str, object]:
    content = {"name": "mine", "suffixes": suffixes, "open": lambda self, path, site_key: None}
    return {"lusfx_register_readers": hookimpl(lambda: [type("Mine", (Reader,), content)()])}


def encoder(name: object, opener: object = lambda request: None) -> dict[str, object]:
    return {"lusfx_register_encoders": hookimpl(lambda: [EncoderSpec(name, "", "", opener)])}


BROKEN: dict[str, tuple[dict[str, object], str]] = {
    "raises": ({"lusfx_register_tasks": raising(RuntimeError("boom"))}, "RuntimeError: boom"),
    "says_nothing": ({"lusfx_register_tasks": raising(RuntimeError())}, "RuntimeError"),
    "cannot_say": ({"lusfx_register_tasks": raising(UnspeakableError())}, "UnspeakableError: (no message)"),
    "exits": ({"lusfx_register_tasks": raising(SystemExit(3))}, "SystemExit: 3"),
    "interrupts": ({"lusfx_register_tasks": raising(KeyboardInterrupt())}, "KeyboardInterrupt"),
    "escapes": ({"lusfx_register_tasks": raising(RuntimeError("a\x1b[2Jb"))}, "RuntimeError: a\\x1b[2Jb"),
    "goes_on": ({"lusfx_register_tasks": raising(RuntimeError("long " * 999))}, "RuntimeError: long long"),
    "leaves": ({"lusfx_register_tasks": raising(GeneratorExit())}, "GeneratorExit"),
    "generates": ({"lusfx_register_tasks": hookimpl(generating)}, "and returned a generator"),
    "misspelt": ({"lusfx_register_taskz": hookimpl(misspelt)}, "no hook named"),
    "unmarked": (tasks(Sliding()) | {"lusfx_register_heads": lambda: []}, "lusfx_register_heads is not marked"),
    "signature": ({"lusfx_register_tasks": hookimpl(lusfx_register_tasks)}, "cache"),
    "old": ({"LUSFX_API_VERSION": 1} | tasks(Sliding()), "written for API version 1; this lusfx has API version 2"),
    "text": ({"LUSFX_API_VERSION": "2"} | tasks(Sliding()), "written for API version '2'"),
    "unstated": ({"LUSFX_API_VERSION": None} | tasks(Sliding()), "states no LUSFX_API_VERSION"),
    "nothing": ({}, "implements no hook"),
    "no_list": ({"lusfx_register_tasks": hookimpl(lambda: named("a"))}, "and returned a Made"),
    "no_task": (tasks(3), "must return a list of Task instances; in it is a int"),
    "no_instance": (tasks(Sliding), "in it is the class Sliding"),
    "task": (tasks(named("a", classes=("yes", "yes"))), "'classes' must be a tuple of different strings"),
    "one_of_two": (tasks(named("a"), named("b", pooling="median")), "task 'b': 'pooling' must be"),
    "property": (tasks(named("a", unit=property(lambda self: 1 / 0))), "reading 'unit' raises ZeroDivisionError"),
    "exiting_property": (tasks(named("a", unit=property(lambda self: sys.exit(4)))), "SystemExit: 4"),
    "circle": (
        tasks(named("a", requires=Gate("b", "yes")), named("b", requires=Gate("a", "yes"))),
        "in a circle: 'a' requires 'b' requires 'a'",
    ),
    "built_in_name": (encoder("timm"), "'timm' is built into lusfx"),
    "encoder_name": (encoder(None), "encoder 'None': 'name' must be a string"),
    "encoder_open": (encoder("mine", lambda: None), "'open' must be a method of request alone"),
    "head_name": (head(name=None), "'name' must be a string"),
    "head_settings": (head(name="mine", settings=NeedsSettings), "'settings' must have a default for each"),
    "head_takes": (head(name="mine", takes="frames"), "'takes' must be 'vectors' or 'bags'"),
    "reader_suffix": (reader(".mine"), "a comma is missing"),
    "reader_capital": (reader((".MINE",)), "'suffixes' must be lower-case"),
    "reader_twice": (reader((".a", ".b", ".a")), "'suffixes' must be a tuple of different strings"),
    "twice": (tasks(named("a"), named("a")), "one name twice"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_harms_no_other(registry_of: Callable[..., Registry], name: str) -> None:
    content, message = BROKEN[name]
    registry = registry_of(bad=content, good=tasks(Sliding()))
    assert registry.tasks.names() == ["sliding"]
    assert registry.heads.names() == BUILT_IN_HEADS
    (failure,) = registry.failures
    assert failure.name == "bad"
    assert message in (failure.error or "")
    assert "\n" not in (failure.error or "")
    assert len(failure.error or "") < 600
    with pytest.raises(UsageError, match="plugin 'bad'"):
        registry.task("other")
    assert not registry.manager.has_plugin("bad")


SOURCES = [
    "raise SystemExit(1)",
    "raise KeyboardInterrupt",
    "raise GeneratorExit",
    "import no_such_module",
    "x = (",
    "1 / 0",
    "import sys; sys.setrecursionlimit(sys.getrecursionlimit() // 4)\ndef f(): f()\nf()",
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); 1 / 0",
]


@pytest.mark.parametrize("source", SOURCES)
def test_a_plugin_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    (tmp_path / "cannot_import.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cannot_import", raising=False)
    before = sys.getrecursionlimit(), signal.getsignal(signal.SIGINT)
    registry = build_registry([EntryPoint("bad", "cannot_import", "lusfx")])
    assert [plugin.name for plugin in registry.failures] == ["bad"]
    assert registry.heads.names() == BUILT_IN_HEADS
    assert before == (sys.getrecursionlimit(), signal.getsignal(signal.SIGINT))


def test_what_a_plugin_prints_goes_to_the_error_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "chatty.py").write_text("print('hello')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "chatty", raising=False)
    build_registry([EntryPoint("chatty", "chatty", "lusfx")])
    assert capsys.readouterr() == ("", "hello\n")


def test_a_name_that_two_plugins_claim_is_nobodys(registry_of: Callable[..., Registry]) -> None:
    registry = registry_of(one=tasks(Sliding(), named("a")), two=tasks(Sliding(), named("b")))
    assert registry.tasks.names() == ["a", "b"]
    with pytest.raises(PluginError, match="claimed by"):
        registry.task("sliding")


def test_a_circle_of_two_plugins_leaves_out_the_one_that_closes_it(registry_of: Callable[..., Registry]) -> None:
    one, two = named("a", requires=Gate("b", "yes")), named("b", requires=Gate("a", "yes"))
    registry = registry_of(one=tasks(one), two=tasks(two, named("c")), zen=tasks(Sliding()))
    assert registry.tasks.names() == ["a", "sliding"]
    (failure,) = registry.failures
    assert failure.name == "two"
    assert "'a' (unknown distribution) requires 'b' requires 'a' (unknown distribution)" in (failure.error or "")


def test_a_gate_may_name_a_task_that_is_not_there(registry_of: Callable[..., Registry]) -> None:
    registry = registry_of(good=tasks(named("a", requires=Gate("view", "pleural"))))
    assert registry.failures == []


def test_two_entry_points_may_have_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of two distributions do, and a plugin's may be that of a built-in."""
    entries = []
    for number, name in enumerate(["same", "same", "lusfx.readers"]):
        module = types.ModuleType(f"fake_{number}")
        module.__dict__.update({"LUSFX_API_VERSION": API_VERSION} | tasks(named(f"task{number}")))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        entries.append(EntryPoint(name, module.__name__, "lusfx"))
    registry = build_registry(entries)
    assert registry.failures == []
    assert registry.tasks.names() == ["task0", "task1", "task2"]
    assert registry.manager.get_plugin("lusfx.readers").__name__ == "lusfx.readers"


def test_a_hook_may_be_named_otherwise(registry_of: Callable[..., Registry]) -> None:
    registry = registry_of(good={"mine": hookimpl(specname="lusfx_register_tasks")(lambda: [Sliding()])})
    assert registry.tasks.names() == ["sliding"]


def test_two_readers_of_one_ending_are_an_error(registry_of: Callable[..., Registry]) -> None:
    registry = registry_of(bad=reader((".mine", ".mp4")))
    assert "'.mp4' is built into lusfx" in (registry.failures[0].error or "")
    assert registry.readers.get(".mp4").name == "video"


def test_a_mirror_answers_for_weights(registry_of: Callable[..., Registry]) -> None:
    def lusfx_resolve_weights(encoder: str) -> Path | None:
        return Path("/mirror/x.safetensors") if encoder == "timm/x" else None

    registry = registry_of(mirror={"lusfx_resolve_weights": hookimpl(lusfx_resolve_weights)})
    assert registry.resolve_weights("timm/x") == Path("/mirror/x.safetensors")
    assert registry.resolve_weights("timm/y") is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda encoder: 1 / 0, "plugin 'bad' failed on lusfx_resolve_weights: ZeroDivisionError"),
        (lambda encoder: sys.exit(0), "plugin 'bad' failed on lusfx_resolve_weights: SystemExit"),
        (lambda encoder: "/mirror/x", "plugin 'bad' answered lusfx_resolve_weights with a str, not a Path"),
    ],
)
def test_a_mirror_that_fails_is_named_and_nobody_is_asked_instead(
    registry_of: Callable[..., Registry], answer: Callable[[str], object], message: str
) -> None:
    def lusfx_resolve_weights(encoder: str) -> object:
        return answer(encoder)

    registry = registry_of(bad={"lusfx_resolve_weights": hookimpl(lusfx_resolve_weights)})
    with pytest.raises(PluginError, match=message):
        registry.resolve_weights("timm/x")


def test_listeners_are_told_of_scores_and_a_failing_one_is_reported(
    registry_of: Callable[..., Registry],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In words that name nobody: others are in a file for the owner alone."""
    monkeypatch.setenv("LUSFX_HOME", str(tmp_path / "home"))
    told = []

    def listen(scores: Path) -> None:
        print("imported")
        told.append(scores)

    def listen_to_all(models: Sequence[str], tables: Sequence[Path]) -> None:
        told.append((tables, models))

    def fail(scores: Path) -> None:
        raise RuntimeError("no such patient: DOE^JANE")

    def say(scores: Path) -> None:
        raise LusfxError("the RIS is down")

    listen.__name__ = listen_to_all.__name__ = fail.__name__ = say.__name__ = "lusfx_scores_written"
    registry = registry_of(
        bad={"lusfx_scores_written": hookimpl(fail)},
        down={"lusfx_scores_written": hookimpl(say)},
        good={"lusfx_scores_written": hookimpl(listen)},
        keen={"lusfx_scores_written": hookimpl(listen_to_all)},
    )
    tables, models = (Path("scores.csv"), Path("scores-exams.csv")), ("b-lines@1a2b3c4d5e6f",)
    problems = registry.scores_written(tables, models)
    assert sorted(told, key=str) == sorted([Path("scores.csv"), (tables, models)], key=str)
    (kept,) = (tmp_path / "home" / "hand-overs").iterdir()
    assert kept.read_text() == "RuntimeError: no such patient: DOE^JANE\n"
    assert os.name == "nt" or stat.S_IMODE(kept.stat().st_mode) == 0o600
    words = {problem.split(": ", 1)[0]: problem for problem in problems}
    assert words["plugin 'down' failed on lusfx_scores_written"].endswith(": LusfxError: the RIS is down")
    assert f"RuntimeError (what it says may name a patient, and is in hand-overs/{kept.name}" in str(problems)
    assert "DOE" not in str(problems)
    assert capsys.readouterr() == ("", "imported\n")


def test_an_encoder_family_answers_for_names_with_a_slash() -> None:
    registry = build_registry([])
    assert registry.encoder("timm/mobilenetv3_small_100").name == "timm"
    with pytest.raises(UsageError, match="unknown encoder 'other/x'"):
        registry.encoder("other/x")
