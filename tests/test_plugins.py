"""A broken plugin is kept out, told of, and harms no other."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from lusfx.contracts import EncoderSpec, Reader, Task
from lusfx.errors import PluginError, UsageError
from lusfx.hookspecs import hookimpl
from lusfx.plugins import Registry, build_registry


class Sliding(Task):
    """Is there sliding?"""

    name = "sliding"
    label_column = "sliding"


@pytest.fixture
def registry_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registry]:
    """Builds a registry of the built-ins and the given modules."""

    def build(**modules: dict[str, object]) -> Registry:
        entries = []
        for name, content in modules.items():
            module = types.ModuleType(f"fake_{name}")
            module.__dict__.update({"LUSFX_API_VERSION": 1} | content)
            monkeypatch.setitem(sys.modules, module.__name__, module)
            entries.append(EntryPoint(name, module.__name__, "lusfx"))
        return build_registry(entries)

    return build


def tasks(*items: object) -> dict[str, object]:
    def lusfx_register_tasks() -> list[object]:
        return list(items)

    return {"lusfx_register_tasks": hookimpl(lusfx_register_tasks)}


def named(name: str, **attributes: object) -> Task:
    kind = type("Made", (Task,), {"__doc__": "A question?", "name": name, "label_column": "x", **attributes})
    return kind()  # type: ignore[no-any-return]


def test_the_built_ins_are_plugins() -> None:
    registry = build_registry([])
    assert registry.heads.names() == ["lightgbm", "logistic", "mlp"]
    assert registry.encoders.names() == ["efficientnet-lite0", "timm"]
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


BROKEN = {
    "raises": ({"lusfx_register_tasks": raising(RuntimeError("boom"))}, "RuntimeError: boom"),
    "exits": ({"lusfx_register_tasks": raising(SystemExit(3))}, "SystemExit"),
    "misspelt": ({"lusfx_register_taskz": hookimpl(misspelt)}, "no hook named"),
    "signature": ({"lusfx_register_tasks": hookimpl(lusfx_register_tasks)}, "cache"),
    "old": ({"LUSFX_API_VERSION": 0} | tasks(Sliding()), "API version 0"),
    "unstated": ({"LUSFX_API_VERSION": None} | tasks(Sliding()), "states no LUSFX_API_VERSION"),
    "nothing": ({}, "implements no hook"),
    "no_list": (tasks(3), "must return a list of Task"),
    "built_in_name": (
        {"lusfx_register_encoders": hookimpl(lambda: [EncoderSpec("timm", "", "", lambda request: None)])},
        "'timm' is built into lusfx",
    ),
    "twice": (tasks(named("a"), named("a")), "one name twice"),
    "name": (tasks(named("No Spaces")), "'name' must be lower-case"),
    "classes": (tasks(named("a", classes=("yes", "yes"))), "'classes' must be two different names"),
    "pooling": (tasks(named("a", pooling="median")), "'pooling' must be"),
    "points": (tasks(named("a", operating_points={})), "'operating_points' must be"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_harms_no_other(registry_of: Callable[..., Registry], name: str) -> None:
    content, message = BROKEN[name]
    registry = registry_of(bad=content, good=tasks(Sliding()))
    assert registry.tasks.names() == ["sliding"]
    assert registry.heads.names() == ["lightgbm", "logistic", "mlp"]
    (failure,) = registry.failures
    assert failure.name == "bad"
    assert message in (failure.error or "")
    with pytest.raises(UsageError, match="plugin 'bad'"):
        registry.task("other")


@pytest.mark.parametrize("source", ["raise SystemExit(1)", "import no_such_module", "x = (", "1 / 0"])
def test_a_plugin_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    (tmp_path / "cannot_import.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cannot_import", raising=False)
    registry = build_registry([EntryPoint("bad", "cannot_import", "lusfx")])
    assert [plugin.name for plugin in registry.failures] == ["bad"]
    assert registry.heads.names() == ["lightgbm", "logistic", "mlp"]


def test_a_name_that_two_plugins_claim_is_nobodys(registry_of: Callable[..., Registry]) -> None:
    registry = registry_of(one=tasks(Sliding(), named("a")), two=tasks(Sliding(), named("b")))
    assert registry.tasks.names() == ["a", "b"]
    with pytest.raises(PluginError, match="claimed by"):
        registry.task("sliding")


def test_two_readers_of_one_ending_are_an_error(registry_of: Callable[..., Registry]) -> None:
    class Mine(Reader):
        name, suffixes = "mine", (".mp4",)

        def open(self, path: Path, site_key: object) -> object:  # type: ignore[override]
            raise AssertionError

    registry = registry_of(bad={"lusfx_register_readers": hookimpl(lambda: [Mine()])})
    assert "'.mp4' is built into lusfx" in (registry.failures[0].error or "")
    assert registry.readers.get(".mp4").name == "video"


def test_a_mirror_answers_for_weights(registry_of: Callable[..., Registry]) -> None:
    def lusfx_resolve_weights(encoder: str) -> Path | None:
        return Path("/mirror/x.safetensors") if encoder == "timm/x" else None

    registry = registry_of(mirror={"lusfx_resolve_weights": hookimpl(lusfx_resolve_weights)})
    assert registry.resolve_weights("timm/x") == Path("/mirror/x.safetensors")
    assert registry.resolve_weights("timm/y") is None


def test_listeners_are_told_of_scores_and_a_failing_one_is_reported(registry_of: Callable[..., Registry]) -> None:
    told = []

    def listen(scores: Path) -> None:
        told.append(scores)

    def fail(scores: Path) -> None:
        raise RuntimeError("no")

    listen.__name__ = fail.__name__ = "lusfx_scores_written"
    registry = registry_of(
        bad={"lusfx_scores_written": hookimpl(fail)}, good={"lusfx_scores_written": hookimpl(listen)}
    )
    problems = registry.scores_written(Path("scores.csv"))
    assert told == [Path("scores.csv")]
    assert len(problems) == 1
    assert "'bad'" in problems[0]


def test_an_encoder_family_answers_for_names_with_a_slash() -> None:
    registry = build_registry([])
    assert registry.encoder("timm/mobilenetv3_small_100").name == "timm"
    with pytest.raises(UsageError, match="unknown encoder 'other/x'"):
        registry.encoder("other/x")
