"""What the documents say is so."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from lusfx import hookspecs
from lusfx.cli import COMMANDS, group
from lusfx.contracts import Task, check_task
from lusfx.engine.scoring import exam_summary
from lusfx.engine.scoring.table import columns_of
from lusfx.plugins import build_registry
from lusfx.task_model.task_card import AGGREGATIONS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("plugins/*/*.md")])


def code_of(page: Path) -> str:
    """Indented and fenced lines of a page."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^(?: {4}.*\n?)+", text, re.MULTILINE)
    return "\n".join([*fenced, *(re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in indented)])


def command_lines() -> list[tuple[str, str]]:
    lines = []
    for page in PAGES:
        code = code_of(page).replace("\\\n", " ")
        for line in code.splitlines():
            if line.startswith("lusfx ") and "|" not in line:
                lines.append((page.relative_to(ROOT).as_posix(), line.partition("#")[0].strip()))
    return lines


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_every_command_line_is_one_that_lusfx_understands(page: str, line: str) -> None:
    """Parsed with its options by the command itself, which is then not run."""
    words = shlex.split(line)[1:]
    command: click.Command | None = group
    context = click.Context(group, **group.context_settings)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        command = command.get_command(context, name)
        assert command is not None, f"{page}: there is no command '{name}'"
    assert command is not None
    command.make_context(command.name, words, parent=context)


def test_there_are_command_lines_to_check() -> None:
    assert len(command_lines()) >= 6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readmes_plugin_works(tmp_path: Path) -> None:
    """The plugin in the README is taken as it stands, and loaded."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = next(b for b in re.findall(r"^(?: {4}.*\n|\n)+", text, re.MULTILINE) if "LUSFX_API_VERSION" in b)
    (tmp_path / "effusion_plugin.py").write_text(re.sub(r"^ {4}", "", block, flags=re.MULTILINE))
    code = (
        "from importlib.metadata import EntryPoint\n"
        "from lusfx.plugins import build_registry\n"
        "registry = build_registry([EntryPoint('effusion', 'effusion_plugin', 'lusfx')])\n"
        "assert not registry.failures, registry.failures\n"
        "task = registry.task('effusion')\n"
        "assert task.label('1') == 1 and task.question == 'Pleural effusion in a pleural view, one answer a clip.'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_the_readmes_first_two_commands_are_there() -> None:
    lines = [
        line.strip()
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("    ")
    ]
    for line in lines[:2]:
        script = ROOT / shlex.split(line.partition("#")[0])[1]
        assert script.is_file()
    assert "tools/check" in (ROOT / ".ci" / "run").read_text()


def test_the_architecture_page_names_every_package_and_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for path in (ROOT / "lusfx").iterdir():
        if path.name.startswith("__") or path.name == "py.typed":
            continue
        assert f"{path.name}/" in text if path.is_dir() else path.name in text, f"{path.name} is not in the layers"


def test_every_code_of_a_source_that_comes_to_nothing_is_on_the_readers_page() -> None:
    page = (ROOT / "docs" / "readers.md").read_text(encoding="utf-8")
    room, codes = ROOT / "lusfx", set()
    for path in [*(room / "readers").rglob("*.py"), *(room / "engine" / "extraction").rglob("*.py")]:
        source = path.read_text(encoding="utf-8")
        codes |= set(re.findall(r'ClipError\(\s*"([a-z-]+)"', source))
        codes |= set(re.findall(r'"((?!lusfx-)[a-z]+(?:-[a-z]+)+)"', source))  # nothing else is spelt so there
    assert {"damaged", "changed-while-read", "decoder-died", "reader-error", "too-long"} <= codes
    for code in codes:
        assert f"`{code}`" in page, code


def test_help_of_every_command_can_be_shown() -> None:
    for name in COMMANDS:
        result = CliRunner().invoke(group, [name, "--help"])
        assert result.exit_code == 0
        assert COMMANDS[name].rstrip(".").split()[0] in result.output


@pytest.mark.parametrize("module", ["lusfx_view", "lusfx_ab_lines", "lusfx_pleural_effusion"])
def test_the_tasks_of_the_distributions_are_sound_and_named_in_their_readmes(module: str) -> None:
    plugin = pytest.importorskip(module, reason=f"the plugin {module} is not installed")
    readme = (ROOT / "plugins" / module.replace("_", "-") / "README.md").read_text(encoding="utf-8")
    for task in plugin.lusfx_register_tasks():
        check_task(task)
        assert (
            f"| `{task.name}` | {task.kind} | {', '.join(f'`{column}`' for column in task.label_columns)} |" in readme
        )


def test_every_hook_stands_on_its_page_with_its_exact_signature() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8").replace("\\|", "|")
    hooks = {name: value for name, value in vars(hookspecs).items() if name.startswith("lusfx_")}
    assert len(hooks) == 7
    for name, function in hooks.items():
        signature = str(inspect.signature(function)).replace("'", "")
        assert f"`{name}{signature}`" in page


def test_the_command_lines_page_is_made_from_the_commands() -> None:
    """In a process of its own: click keeps a command's help option as it was when the command was first called by itself."""
    tool = ROOT / "tools" / "make_cli_page.py"
    code = f"import runpy, sys; sys.stdout.buffer.write(runpy.run_path({str(tool)!r})['page']().encode())"
    page = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    assert page == (ROOT / "docs" / "cli.md").read_bytes(), "run: python tools/make_cli_page.py"


def test_every_attribute_of_a_task_is_described() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    for name in (*Task.__annotations__, "label(cell)", "target(cells)", "pool(embeddings, times_s)"):
        assert f"| `{name}` |" in page


def test_every_column_of_a_score_table_is_described() -> None:
    page = (ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
    for column in (*columns_of([], show_paths=True), "trained_on", "score", *exam_summary.COLUMNS):
        assert f"`{column}`" in page, column


def test_every_reason_for_no_answer_is_described() -> None:
    page = (ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in [*(ROOT / "lusfx" / "engine").rglob("*.py"), *(ROOT / "lusfx" / "task_model").rglob("*.py")]
    )
    codes = set(re.findall(r'NotAssessable\(\s*"([a-z-]+)"', source))
    assert len(codes) >= 5
    for code in codes:
        assert f"| `{code}` |" in page, code


def test_every_aggregation_is_described_with_its_defaults() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    for kind in AGGREGATIONS.values():
        signature = str(inspect.signature(kind)).partition(" ->")[0].replace(": 'float' = ", "=")
        assert f"| `{kind.__name__}{signature}` |" in page


def test_every_head_and_its_settings_are_described() -> None:
    page = (ROOT / "docs" / "task-models.md").read_text(encoding="utf-8")
    for head in build_registry([]).heads.values():
        assert f"**`{head.name}`**" in page
