"""Plugins that are really installed and really broken: none harms the command line, or a plugin beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lusfx.contracts import API_VERSION

pytestmark = pytest.mark.slow

Lusfx = Callable[..., Any]
Install = Callable[..., None]

GOOD = f"""
from lusfx.contracts import Task
from lusfx.hookspecs import hookimpl

LUSFX_API_VERSION = {API_VERSION}


class Sliding(Task):
    \"\"\"Is there sliding?\"\"\"

    name = "sliding"
    label_columns = ("sliding",)


@hookimpl
def lusfx_register_tasks():
    return [Sliding()]
"""
OTHER = GOOD.replace('"sliding"', '"other"').replace("Sliding", "Other")


def changed(old: str, new: str) -> str:
    """A plugin with one thing wrong."""
    assert old in OTHER
    return OTHER.replace(old, new)


HOSTILE = {
    "import-error": (f"import no_such_module\n{OTHER}", "No module named 'no_such_module'"),
    "syntax-error": (f"{OTHER}\nx = (", "SyntaxError"),
    "exits": (f"raise SystemExit(5)\n{OTHER}", "SystemExit: 5"),
    "interrupts": (f"raise KeyboardInterrupt\n{OTHER}", "KeyboardInterrupt"),
    "low-recursion-limit": (
        f"import sys; sys.setrecursionlimit(sys.getrecursionlimit() // 4)\ndef f(): f()\nf()\n{OTHER}",
        "RecursionError",
    ),
    "exits-quietly": (f"import sys; sys.exit()\n{OTHER}", "SystemExit"),
    "generator-exit": (f"raise GeneratorExit\n{OTHER}", "GeneratorExit"),
    "own-base-exception": (f"class Fatal(BaseException): pass\nraise Fatal('boom')\n{OTHER}", "Fatal: boom"),
    "signature": (changed("lusfx_register_tasks()", "lusfx_register_tasks(cache)"), "Argument(s) {'cache'}"),
    "misspelt": (changed("lusfx_register_tasks", "lusfx_register_task"), "no hook named lusfx_register_task"),
    "unmarked": (changed("@hookimpl", ""), "lusfx_register_tasks is not marked with @hookimpl"),
    "old": (changed(f"VERSION = {API_VERSION}", "VERSION = 1"), "it was written for API version 1"),
    "raises": (changed("return [Other()]", "raise RuntimeError('boom')"), "RuntimeError: boom"),
    "generates": (changed("return [Other()]", "yield Other()"), "and returned a generator"),
    "property": (
        changed("    name =", "    unit = property(lambda self: 1 / 0)\n    name ="),
        "reading 'unit' raises ZeroDivisionError",
    ),
    "bad-task": (changed('("other",)', '"other"'), "a comma is missing: label_columns = ('other',)"),
    "built-in-name": (
        f"{OTHER}\n@hookimpl\ndef lusfx_register_encoders():\n"
        "    from lusfx.contracts import EncoderSpec\n"
        "    return [EncoderSpec('timm', '', '', lambda request: None)]\n",
        "'timm' is built into lusfx",
    ),
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lays a distribution as pip would, in a folder on the path: a module, its metadata, its entry point."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]))

    def install(distribution: str, source: str, entry_point: str | None = None) -> None:
        module = distribution.replace("-", "_")
        (site / f"{module}.py").write_text(source, encoding="utf-8")
        info = site / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[lusfx]\n{entry_point or distribution} = {module}\n")

    return install


def check_the_rest(lusfx: Lusfx) -> tuple[set[str], Any]:
    """Help, tasks and plugins work, and the good plugin with them; returns the tasks' names, and what ``plugins`` lists."""
    helped = lusfx("--help")
    assert (helped.code, helped.err) == (0, "")
    tasks, plugins = lusfx("tasks", "--json"), lusfx("plugins", "--json")
    assert tasks.code == plugins.code == 0
    found = {plugin["name"]: plugin for plugin in plugins.json["plugins"]}
    assert found["good"]["provides"] == ["task: sliding"]
    assert not any(plugin["error"] for name, plugin in found.items() if name.startswith("lusfx."))
    names = {task["name"] for task in tasks.json}
    assert "sliding" in names
    return names, plugins.json


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_plugin_harms_nothing_and_is_told_of(lusfx: Lusfx, install: Install, name: str) -> None:
    source, message = HOSTILE[name]
    install("good", GOOD)
    install("hostile", source)
    tasks, found = check_the_rest(lusfx)
    assert "other" not in tasks
    (failure,) = [plugin for plugin in found["plugins"] if plugin["name"] == "hostile"]
    assert message in failure["error"]
    assert failure["provides"] == []
    assert failure["distribution"] == "hostile 1.2"


def test_all_of_them_at_once(lusfx: Lusfx, install: Install) -> None:
    """Some are loaded before the good plugin, and some after: in order of name."""
    install("good", GOOD)
    names = [f"{'a' if number % 2 else 'z'}-{name}" for number, name in enumerate(HOSTILE)]
    for name, (source, _) in zip(names, HOSTILE.values(), strict=True):
        install(name, source)
    _, found = check_the_rest(lusfx)
    assert {plugin["name"] for plugin in found["plugins"] if plugin["error"]} >= set(names)
    assert "sliding" in lusfx("tasks").out
    listed = lusfx("plugins").out
    assert "good (good 1.2): ok" in listed
    assert all(f"{name} ({name} 1.2): FAILED" in listed for name in names)


def test_a_name_that_two_distributions_claim_is_nobodys_and_both_are_named(lusfx: Lusfx, install: Install) -> None:
    install("good", GOOD)
    install("one", OTHER)
    install("two", OTHER)
    tasks, found = check_the_rest(lusfx)
    assert "other" not in tasks
    assert found["clashes"] == [{"kind": "task", "name": "other", "claimed_by": ["one 1.2", "two 1.2"]}]
    assert "CLASH: the task 'other' is claimed by one 1.2 and by two 1.2" in lusfx("plugins").out


def test_entry_points_of_one_name_are_two_plugins(lusfx: Lusfx, install: Install) -> None:
    install("good", GOOD)
    install("one", OTHER, "same")
    install("two", changed('"other"', '"another"'), "same")
    tasks, found = check_the_rest(lusfx)
    assert found["clashes"] == []
    assert {"other", "another"} <= tasks


@pytest.mark.parametrize("warnings", ["error", "default"])
def test_what_a_plugin_prints_or_warns_of_stays_out_of_what_programs_read(install: Install, warnings: str) -> None:
    chatter = "import sys, warnings\nprint('hello'); sys.stdout.write('hello')\n"
    install("good", changed("return", "print('hello again')\n    return") + chatter)
    install(
        "warner", f"import warnings\nwarnings.warn('old', DeprecationWarning)\n{GOOD.replace('sliding', 'gliding')}"
    )
    for command in ("tasks", "plugins"):
        done = subprocess.run(
            [sys.executable, "-m", "lusfx", command, "--json"],
            env=os.environ | {"PYTHONWARNINGS": warnings},
            capture_output=True,
            text=True,
            check=True,
        )
        listed = json.loads(done.stdout)
        assert "hello again" in done.stderr
        if command == "tasks":
            names = {task["name"] for task in listed}
            assert "other" in names
            assert ("gliding" in names) == (warnings == "default")  # a warning that is an error fails its plugin alone


NOISE = """
import atexit, os, subprocess, sys, threading
os.write(1, b"descriptor\\n")
print("print")
sys.__stdout__.write("first stream\\n")
subprocess.run([sys.executable, "-c", "print('child')"])
threading.Thread(target=print, args=["thread"]).start()
atexit.register(print, "print at exit")
atexit.register(os.write, 1, b"descriptor at exit\\n")
"""
NOISES = ["descriptor", "print", "first stream", "child", "thread", "print at exit", "descriptor at exit"]


def ran(*arguments: str, **streams: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "lusfx", *arguments]
    return subprocess.run(command, check=False, timeout=120, **({"stderr": subprocess.PIPE} | streams))


@pytest.mark.parametrize("command", ["tasks", "plugins", "heads"])
def test_standard_output_is_the_programs_whatever_a_plugin_writes_to_it(install: Install, command: str) -> None:
    install("good", GOOD)
    quiet = {form: ran(command, *form, stdout=subprocess.PIPE).stdout for form in ((), ("--json",))}
    install("noisy", NOISE)  # provides nothing, so that only 'plugins' tells of it
    for form, expected in quiet.items():
        done = ran(command, *form, stdout=subprocess.PIPE)
        assert done.returncode == 0
        if command != "plugins":
            assert done.stdout == expected
        assert set(NOISES) <= set(done.stderr.decode().splitlines())
        if form:
            json.loads(done.stdout)


@pytest.mark.skipif(os.name == "nt", reason="descriptors are closed by a shell")
def test_a_stream_that_is_closed_full_or_not_read_any_more(install: Install) -> None:
    install("noisy", NOISE)
    shell = ["sh", "-c"]
    lusfx = f"{sys.executable} -m lusfx tasks --json"

    def done(script: str) -> tuple[int, str, str]:
        run = subprocess.run([*shell, script], capture_output=True, text=True, timeout=120, check=False)
        assert "Traceback" not in run.stderr
        return run.returncode, run.stdout, run.stderr

    code, out, err = done(f"{lusfx} >&-")
    assert (code, out) == (0, "")
    assert "question" not in err
    code, out, err = done(f"{lusfx} 2>&-")
    assert (code, err) == (0, "")
    json.loads(out)
    _, out, err = done(f"({lusfx}; echo code $? >&2) | true")
    assert out == ""
    assert "code 1" in err
    assert "Error" not in err
    if Path("/dev/full").exists():
        code, _, err = done(f"{lusfx} >/dev/full")
        assert code == 1
        assert "Error: standard output cannot be written: No space left on device" in err
