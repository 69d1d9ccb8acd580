"""The places of all that a command writes are made, or refused, before it works."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from lusfx.errors import UsageError
from lusfx.outputs import prepare_files, prepare_place


def test_directories_are_made_for_their_owner_alone_and_nothing_else_is(tmp_path: Path) -> None:
    prepare_files({"table": tmp_path / "a" / "b" / "t.csv", "report": tmp_path / "c" / "r.html", "other": None})
    prepare_place("task model", tmp_path / "d" / "m")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["a", f"a{os.sep}b", "c", "d"]
    if os.name != "nt":
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")} == {0o700}


def below_a_file(place: Path) -> Path:
    place.write_text("x")
    return place / "r.html"


def a_directory(place: Path) -> Path:
    place.mkdir()
    return place


BAD: list[Callable[[Path], Path]] = [below_a_file, a_directory, lambda place: place / ("CANARY" * 99)]


@pytest.mark.parametrize("bad", BAD)
def test_a_place_where_no_file_can_be_is_refused_without_its_name(tmp_path: Path, bad: Callable[[Path], Path]) -> None:
    with pytest.raises(UsageError, match="the report cannot be written: ") as caught:
        prepare_files({"table": tmp_path / "t.csv", "report": bad(tmp_path / "CANARY")})
    assert "CANARY" not in str(caught.value)


def test_two_files_need_two_places(tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to("t.csv")
    for name in ("t.csv", "link.html", f"..{os.sep}{tmp_path.name}{os.sep}t.csv"):
        with pytest.raises(UsageError, match="it would lie where the table does"):
            prepare_files({"table": tmp_path / "t.csv", "report": tmp_path / name})


@pytest.mark.parametrize("link", [False, True])
def test_nothing_replaces_a_file_that_is_read(tmp_path: Path, link: bool) -> None:
    labels = tmp_path / "CANARY.csv"
    labels.write_text("x")
    out = tmp_path / "other.csv" if link else labels
    if link:
        out.symlink_to(labels)
    with pytest.raises(UsageError, match="would replace a file that is read") as caught:
        prepare_files({"table": out}, read=[tmp_path / "missing", labels])
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("card", ["task_model.json", "encoder.json"])
def test_nothing_is_written_into_a_task_model_or_an_encoder(tmp_path: Path, card: str) -> None:
    (tmp_path / card).write_text("{}")
    with pytest.raises(UsageError, match="would lie in a task model"):
        prepare_files({"report": tmp_path / "deep" / "report.html"})
    assert [path.name for path in tmp_path.iterdir()] == [card]


@pytest.mark.skipif(os.name == "nt", reason="no folder that is in use can be removed there")
def test_a_working_folder_that_is_gone_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError, match="the table cannot be written: No such file"):
        prepare_files({"table": Path("t.csv")})
