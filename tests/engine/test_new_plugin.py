"""A written plugin is whole: it parses, it passes the tools that it configures, and its task is sound."""

from __future__ import annotations

import ast
import itertools
import json
import keyword
import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from lusfx.contracts import Kind, Task, Unit, check_task
from lusfx.engine.new_plugin import NewPlugin, PluginKind, new_plugin
from lusfx.errors import LusfxError, UsageError
from lusfx.plugins import build_registry

CLASSES: dict[Kind, tuple[str, ...]] = {
    "binary": ("no effusion", "effusion"),
    "multi-class": ("linear", "convex", "phased"),
    "multi-label": ("A-lines", "B-lines"),
    "ordinal": ("0", "1", "2", "3"),
}
PARTS: tuple[PluginKind, ...] = ("head", "reader")
UNITS: tuple[Unit, ...] = ("frame", "clip", "exam")
EVERY_SORT = list(itertools.product(CLASSES, UNITS))
FILES = {"pyproject.toml", "README.md", "MODEL_CARD.md", ".gitignore"}
LONG = tuple(f"a class with rather a long name, number {number} of several" for number in range(1, 7))
HARD: dict[str, dict[str, Any]] = {
    "none": {},
    "true": {},
    "task": {},
    "youden": {},
    "task-conformance": {},
    "exception": {},
    "3d": {},
    "0": {},
    "test-x": {},
    "a" * 40: {"kind": "multi-class", "classes": LONG, "columns": ["c" * 60]},
    "label-" * 6 + "abcd": {"kind": "multi-label", "classes": LONG},
    "long-binary": {"classes": LONG[:2]},
    "long-ordinal": {"kind": "ordinal", "classes": [*LONG, *(str(number) for number in range(20))]},
    "one-label": {"kind": "multi-label", "classes": ["B-lines"]},
    "names": {"classes": ["kein Erguß", "Erguß"], "columns": ["Erguß (links)"]},
    "wide": {
        "kind": "multi-class",
        "classes": ["胸腔積液なし" * 3, "胸腔積液あり" * 3, "不明" * 4],
        "columns": ["所見"],
    },
    **{f"edge-{n}": {"kind": "multi-class", "classes": ["x" * 30, "y" * 30, "z" * n]} for n in range(32, 38)},
}


def write_all(folder: Path) -> list[NewPlugin]:
    """A plugin of each kind and unit, and some with names that are hard on a code writer."""
    made = [
        new_plugin(f"{kind}-{unit}", folder, kind=kind, unit=unit, classes=CLASSES[kind]) for kind, unit in EVERY_SORT
    ]
    return [*made, *(new_plugin(name, folder, **options) for name, options in HARD.items())]


def run(*command: object, cwd: Path, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_whatever_is_written_passes_ruff(tmp_path: Path) -> None:
    made = write_all(tmp_path)
    assert len(made) == len(EVERY_SORT) + len(HARD)
    for kind, name in itertools.product(PARTS, ("centroid", "a" * 40, "3d", "head", "reader", "head-conformance")):
        new_plugin(name, tmp_path / kind, kind=kind)
    run("ruff", "check", "--no-cache", ".", cwd=tmp_path)
    run("ruff", "format", "--no-cache", "--check", ".", cwd=tmp_path)


@pytest.mark.slow
def test_whatever_is_written_passes_mypy(tmp_path: Path) -> None:
    made = write_all(tmp_path)
    made += [new_plugin(f"my-{kind}", tmp_path, kind=kind) for kind in PARTS]
    sources = [plugin.path / "src" for plugin in made]
    run("mypy", "--config-file", made[0].path / "pyproject.toml", "--cache-dir", tmp_path / "c", *sources, cwd=tmp_path)


def load(plugin: NewPlugin, monkeypatch: pytest.MonkeyPatch) -> Task:
    """The plugin's task, loaded by the entry point that its pyproject names."""
    project = tomllib.loads((plugin.path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ((name, module),) = project["entry-points"]["lusfx"].items()
    assert (name, project["name"]) == (plugin.name, f"lusfx-{plugin.name}")
    assert module.isidentifier()
    monkeypatch.syspath_prepend(plugin.path / "src")
    monkeypatch.delitem(sys.modules, module, raising=False)
    registry = build_registry([EntryPoint(name, module, "lusfx")])
    monkeypatch.delitem(sys.modules, module, raising=False)
    assert registry.failures == []
    assert registry.tasks.names() == [plugin.name]
    return registry.task(plugin.name)


@pytest.mark.parametrize(("kind", "unit"), EVERY_SORT)
def test_the_task_is_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind, unit: Unit
) -> None:
    plugin = new_plugin("my-sign", tmp_path, kind=kind, unit=unit, classes=CLASSES[kind])
    task = load(plugin, monkeypatch)
    check_task(task)
    assert (task.kind, task.unit, task.classes) == (kind, unit, CLASSES[kind])
    assert task.label_columns == (("a_lines", "b_lines") if kind == "multi-label" else ("my_sign",))
    assert task.question.startswith("My sign")
    assert list(task.operating_points) == ["balanced", "screen", "rule-in"]
    assert set(plugin.files) == FILES | {
        "src/lusfx_my_sign/__init__.py",
        "src/lusfx_my_sign/py.typed",
        "tests/test_my_sign.py",
    }
    for file in plugin.files:
        text = (plugin.path / file).read_text(encoding="utf-8")
        assert "{{" not in text
        assert "{%" not in text
        if file.endswith(".py"):
            ast.parse(text)


@pytest.mark.parametrize("name", HARD)
def test_hard_names_become_sound_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    task = load(new_plugin(name, tmp_path, **HARD[name]), monkeypatch)
    assert not keyword.iskeyword(type(task).__name__)
    assert type(task) is not Task
    assert task.name == name
    if "classes" in HARD[name]:
        assert task.classes == tuple(HARD[name]["classes"])
    if "columns" in HARD[name]:
        assert task.label_columns == tuple(HARD[name]["columns"])


def written_tests(plugin: NewPlugin) -> dict[str, Any]:
    """The written tests' functions by name, without the conformance kit's."""
    (file,) = (plugin.path / "tests").iterdir()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    tree.body = [
        node
        for node in tree.body
        if not isinstance(node, ast.ClassDef)
        and not (isinstance(node, ast.ImportFrom) and node.module == "lusfx.testing")
    ]
    module: dict[str, Any] = {}
    exec(compile(tree, str(file), "exec"), module)
    return {name: value for name, value in module.items() if name.startswith("test_")}


@pytest.mark.parametrize("kind", CLASSES)
def test_the_written_label_tests_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind) -> None:
    plugin = new_plugin("my-sign", tmp_path, kind=kind, classes=CLASSES[kind])
    load(plugin, monkeypatch)
    found = written_tests(plugin)
    monkeypatch.delitem(sys.modules, "lusfx_my_sign", raising=False)
    assert len(found) == (3 if kind == "multi-label" else 2)
    n_run = 0
    for test in found.values():
        (mark,) = test.pytestmark
        for values in mark.args[1]:
            test(*(values if isinstance(values, tuple) else (values,)))
            n_run += 1
    assert n_run >= 8


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("My-Sign", {}, "lower-case letters"),
        ("my_sign", {}, "lower-case letters"),
        ("-sign", {}, "lower-case letters"),
        ("sign\n", {}, "lower-case letters"),
        ("../sign", {}, "lower-case letters"),
        ("", {}, "lower-case letters"),
        ("a" * 41, {}, "at most 40"),
        ("sign", {"kind": "multi-class"}, "needs the names of its classes"),
        ("Sign", {"kind": "reader"}, "a reader's name is of lower-case letters"),
        ("sign", {"kind": "head", "classes": ["a", "b"]}, "a head has no unit, no columns and no classes"),
        ("sign", {"kind": "reader", "unit": "exam"}, "a reader has no unit"),
        ("sign", {"kind": "ordinal", "classes": ["low", "high"]}, "'classes' must be a tuple of at least 3"),
        ("sign", {"classes": ["a", "b", "c"]}, "'classes' must be a tuple of two"),
        ("sign", {"classes": ["same", "same"]}, "different strings"),
        ("sign", {"classes": ['a"', "b"]}, "the name of a class has"),
        ("sign", {"classes": ["a\nb", "c"]}, "the name of a class has"),
        ("sign", {"classes": ["", "c"]}, "the name of a class has"),
        ("sign", {"columns": ["{{ 7 }}"]}, "the name of a column has"),
        ("sign", {"columns": ["a", "b"]}, "a method 'target' of its own"),
        ("sign", {"kind": "multi-label", "classes": ["a", "b"], "columns": ["a"]}, "one column a class"),
        ("sign", {"kind": "multi-label", "classes": ["a-b", "a b"]}, "'label_columns' must be a tuple of different"),
        ("sign", {"kind": "multi-class", "classes": ["a", "b", "Indeterminate"]}, "no class can have that name"),
    ],
)
def test_what_makes_no_task_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        new_plugin(name, tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["folder", "file", "dangling link"])
def test_nothing_is_written_over(tmp_path: Path, there: str) -> None:
    target = tmp_path / "lusfx-sign"
    if there == "folder":
        target.mkdir()
    elif there == "file":
        target.write_text("mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is there already"):
        new_plugin("sign", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lusfx-sign"]
    assert not (target.is_dir() and list(target.iterdir()))


def test_what_is_there_is_kept_where_it_may_be_replaced(tmp_path: Path) -> None:
    first = new_plugin("sign", tmp_path)
    (first.path / "README.md").write_text("mine")
    second = new_plugin("sign", tmp_path, force=True)
    (kept,) = tmp_path.glob("lusfx-sign.old-*")
    assert (kept / "README.md").read_text() == "mine"
    assert (second.path / "README.md").read_text() != "mine"
    assert second.warnings == (f"the folder that was there is kept beside it as {kept.name}",)


def test_a_replacement_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_plugin("sign", tmp_path)
    (first.path / "README.md").write_text("mine")
    moves, replace = [], os.replace

    def fails_once(source: Path, target: Path) -> None:
        moves.append(target)
        if len(moves) == 2:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails_once)
    with pytest.raises(LusfxError, match="cannot be written"):
        new_plugin("sign", tmp_path, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["lusfx-sign"]
    assert (first.path / "README.md").read_text() == "mine"


@pytest.mark.parametrize(("owner", "failing"), [(Path, "write_bytes"), (os, "replace")])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_it_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, failing: str, error: BaseException
) -> None:
    works = getattr(owner, failing)

    def fails(path: Path, *arguments: object) -> object:
        if failing == "replace" or path.name == "MODEL_CARD.md":
            raise error
        return works(path, *arguments)

    monkeypatch.setattr(owner, failing, fails)
    with pytest.raises(LusfxError if isinstance(error, OSError) else KeyboardInterrupt):
        new_plugin("sign", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[NewPlugin, Path]:
    """A plugin that pip has built and installed, and where."""
    pytest.importorskip("hatchling", reason="hatchling builds the written plugin; it is not installed")
    folder = tmp_path_factory.mktemp("installed")
    plugin = new_plugin("my-sign", folder)
    run(
        *(
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "--disable-pip-version-check",
        ),
        *("--target", folder / "site", plugin.path),
        cwd=folder,
    )
    return plugin, folder / "site"


@pytest.mark.slow
def test_an_installed_plugin_is_found(installed: tuple[NewPlugin, Path]) -> None:
    _, site = installed
    assert (site / "lusfx_my_sign" / "py.typed").is_file()
    done = subprocess.run(
        [sys.executable, "-m", "lusfx", "tasks", "--json"],
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        check=True,
    )
    (task,) = [task for task in json.loads(done.stdout) if task["name"] == "my-sign"]
    assert task["plugin"] == "lusfx-my-sign 0.1.0"


@pytest.mark.slow
def test_an_installed_plugin_passes_its_own_tests(installed: tuple[NewPlugin, Path]) -> None:
    plugin, site = installed
    run("pytest", plugin.path, cwd=plugin.path.parent, PYTHONPATH=str(site))
