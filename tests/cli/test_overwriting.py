"""Nothing that is there is overwritten in silence, by any command that writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from lusfx.cli import group
from lusfx.cli.terminal import DIRECTORY, FILE
from lusfx.errors import UsageError
from tests.cli.commands import commands

GOES_ON = {"demo", "study", "pretrain"}
"""Commands that go on with what they began, and refuse a directory of anything else."""
WRITES = ("out", "report", "accept")


def test_each_command_that_writes_asks_for_force_or_goes_on() -> None:
    writing = {
        name: {parameter.name for parameter in command.params}
        for name, command in commands()
        if any(parameter.name in WRITES and parameter.type in (FILE, DIRECTORY) for parameter in command.params)
    }
    assert {"score", "synth", "train-task", "fine-tune", "evaluate", "inspect", "cache troubles", "study"} <= set(
        writing
    )
    without = {name for name, parameters in writing.items() if "force" not in parameters}
    assert without == GOES_ON


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        ("synth FULL --patients 1", "FULL/labels.csv"),
        ("score --model M --cache C --out s.csv", "s.csv"),
        ("score --model M --cache C --out new.csv --report r.html", "r.html"),
        ("score --model M --cache C --report r.html", "r.html"),
        ("evaluate --model M --cache C --labels L.csv --report r.html", "r.html"),
        ("inspect clip.png --out p.png", "p.png"),
        ("cache troubles --cache C --accept bad.csv", "bad.csv"),
        ("export --cache C --out f.csv", "f.csv"),
        ("new-plugin x --out .", "lusfx-x/README.md"),
        ("demo FULL", "FULL/labels.csv"),
        ("study S.toml --out FULL", "FULL/labels.csv"),
    ],
)
def test_what_is_there_stays(words: str, taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before anything else is looked at, so that nobody waits for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "S.toml").write_text('labels = "x.csv"\n')
    (tmp_path / "clip.png").write_bytes(b"x")
    Path(taken).parent.mkdir(exist_ok=True)
    Path(taken).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    done = CliRunner().invoke(group, words.split())
    assert isinstance(done.exception, UsageError)
    assert Path(taken).read_text() == "mine"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_synthetic_archive_is_replaced_whole_where_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["synth", "exams", "--clips", "1", "--frames", "1"]
    assert CliRunner().invoke(group, [*small, "--patients", "2"]).exit_code == 0
    (tmp_path / "exams" / "clips" / "mine.mp4").write_text("mine")
    assert isinstance(CliRunner().invoke(group, [*small, "--patients", "1"]).exception, UsageError)
    done = CliRunner().invoke(group, [*small, "--patients", "1", "--force"])
    assert done.exit_code == 0
    names = {path.name for path in (tmp_path / "exams" / "clips").iterdir()}
    assert names == {"mine.mp4", "synthetic-0001-1.mp4"}
    assert len((tmp_path / "exams" / "labels.csv").read_text().splitlines()) == 2
