"""Parts of the demo: its folder, its patients, its questions, and what one encoder saves."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.contracts import check_task
from lusfx.demo import hospital as hospital_module
from lusfx.demo import run_demo
from lusfx.demo.folder import MARKER, DemoFolder
from lusfx.demo.hospital import CLIPS_A_PATIENT, LABELS, PatientSet, patient_sets, simulate_set
from lusfx.demo.result import Stage
from lusfx.demo.saving import Saving
from lusfx.demo.tasks import demo_tasks
from lusfx.errors import LusfxError, RunInterruptedError, UsageError
from lusfx.tables import read_table


class TestFolder:
    def test_a_new_or_empty_directory_is_begun_and_gone_on_with(self, tmp_path: Path) -> None:
        begun = DemoFolder.open(tmp_path / "new", 32, 0)
        begun.add_work("encode", 2.0)
        begun.add_work("encode", 3.0)
        assert DemoFolder.open(tmp_path / "new", 32, 0).work_s == {"encode": 5.0}
        (tmp_path / "empty").mkdir()
        assert DemoFolder.open(tmp_path / "empty", 32, 0).work_s == {}
        assert (tmp_path / "new").stat().st_mode & 0o077 == 0

    def test_what_a_crash_at_the_very_beginning_leaves_is_gone_on_with(self, tmp_path: Path) -> None:
        (tmp_path / f".{MARKER}.new").write_text("{")
        assert DemoFolder.open(tmp_path, 32, 0).n_patients == 32

    def test_something_else_is_refused_and_left_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(UsageError, match="no demo of lusfx"):
            run_demo(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("")
        with pytest.raises(UsageError, match="cannot be used"):
            DemoFolder.open(tmp_path / "out", 32, 0)

    @pytest.mark.parametrize(("n_patients", "seed"), [(33, 0), (32, 1)])
    def test_a_demo_of_other_patients_is_refused(self, tmp_path: Path, n_patients: int, seed: int) -> None:
        DemoFolder.open(tmp_path, 32, 0)
        with pytest.raises(UsageError, match="--patients 32 --seed 0"):
            DemoFolder.open(tmp_path, n_patients, seed)

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "lusfx-demo", "format_version": 9}', "\0"])
    def test_a_damaged_marker_is_refused(self, tmp_path: Path, content: str) -> None:
        (tmp_path / MARKER).write_text(content)
        with pytest.raises(UsageError, match="damaged or foreign"):
            DemoFolder.open(tmp_path, 32, 0)

    def test_the_site_key_is_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LUSFX_HOME", str(tmp_path / "home"))
        folder = DemoFolder.open(tmp_path / "out", 32, 0)
        pseudonym = folder.site_key().patient("synthetic-0001")
        assert folder.site_key().patient("synthetic-0001") == pseudonym
        assert (tmp_path / "out" / "site.key").exists()
        assert not (tmp_path / "home").exists()

    def test_one_seed_gives_one_set_of_pseudonyms(self, tmp_path: Path) -> None:
        one, same, other = (
            DemoFolder.open(tmp_path / name, 32, seed).site_key().patient("synthetic-0001")
            for name, seed in (("one", 0), ("same", 0), ("other", 1))
        )
        assert one == same != other


def test_too_few_patients_and_a_negative_seed_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    for wanted in ({"n_patients": 23}, {"seed": -1}):
        with pytest.raises(UsageError):
            run_demo(tmp_path / "out", **wanted)
    assert not (tmp_path / "out").exists()


class TestPatients:
    SMALL = PatientSet("local", "local test", "local", 10_001, 2)

    @pytest.fixture(autouse=True)
    def short_clips(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hospital_module, "N_FRAMES", 1)

    def test_no_patient_is_in_two_sets(self, tmp_path: Path) -> None:
        sets = patient_sets(10_000)
        numbers = [
            {(each.site, number) for number in range(each.first_patient, each.first_patient + each.n_patients)}
            for each in sets
        ]
        assert [each.n_patients for each in sets] == [10_000, 5_000, 5_000]
        assert sum(map(len, numbers)) == len(set.union(*numbers))

    def test_the_table_names_every_clip_and_asks_where_it_makes_sense(self, tmp_path: Path) -> None:
        assert simulate_set(tmp_path, self.SMALL, 0, lambda: None) == 2
        rows = read_table(tmp_path / LABELS, required=("path", "patient_id", "exam_id", "zone"))
        assert len(rows) == 2 * CLIPS_A_PATIENT
        assert len({row["patient_id"] for row in rows}) == 2
        for row in rows:
            assert (tmp_path / row["path"]).is_file()
            assert "synthetic" in row["patient_id"]
            if row["view"] == "pleural":
                assert (row["a_lines"], row["b_lines"]) == ("", "")
                assert row["effusion"] in {"0", "1"}
            else:
                assert row["effusion"] == ""

    def test_what_is_there_and_whole_is_not_drawn_again(self, tmp_path: Path) -> None:
        simulate_set(tmp_path, self.SMALL, 0, lambda: None)
        table = (tmp_path / LABELS).read_bytes()
        assert simulate_set(tmp_path, self.SMALL, 0, lambda: pytest.fail("drawn")) == 0
        assert (tmp_path / LABELS).read_bytes() == table

    @pytest.mark.parametrize("harm", ["a clip is missing", "the table is cut", "the table is missing"])
    def test_a_patient_that_is_not_whole_is_drawn_again_alike(self, tmp_path: Path, harm: str) -> None:
        simulate_set(tmp_path, self.SMALL, 0, lambda: None)
        before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
        patient = tmp_path / "synthetic-010002"
        if harm == "a clip is missing":
            next((patient / "clips").iterdir()).unlink()
        elif harm == "the table is cut":
            (patient / LABELS).write_bytes((patient / LABELS).read_bytes()[:300])
        else:
            (patient / LABELS).unlink()
        assert simulate_set(tmp_path, self.SMALL, 0, lambda: None) == 1
        assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()} == before

    def test_a_stop_leaves_what_was_drawn(self, tmp_path: Path) -> None:
        calls = 0

        def stop_at_the_second() -> None:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise RunInterruptedError("stopped")

        with pytest.raises(RunInterruptedError):
            simulate_set(tmp_path, self.SMALL, 0, stop_at_the_second)
        assert simulate_set(tmp_path, self.SMALL, 0, lambda: None) == 1


def test_the_questions_are_sound_and_read_the_table(tmp_path: Path) -> None:
    tasks = demo_tasks()
    for task in tasks:
        check_task(task)
    view, lines, effusion = tasks
    assert view.target({"view": "pleural"}) == 1
    assert view.target({"view": ""}) is None
    with pytest.raises(ValueError, match="parenchymal or pleural"):
        view.target({"view": "cardiac"})
    assert lines.requires is not None
    assert effusion.requires is not None
    assert (lines.requires.is_, effusion.requires.is_) == view.classes


def test_a_stop_is_an_error_that_says_what_to_do_next() -> None:
    assert issubclass(RunInterruptedError, LusfxError)
    assert RunInterruptedError.exit_code == 130


def test_how_much_faster_is_told_only_where_something_was_found() -> None:
    assert Stage("encode", "", 2.0).times_faster is None
    assert Stage("encode", "", 2.0, 50.0).times_faster == 25
    assert Stage("encode", "", 0.0, 50.0).times_faster == 50_000  # and no division by nothing


class TestSaving:
    def test_the_least_and_the_most_that_tasks_allow(self) -> None:
        saving = Saving(3, 4, 32, 0.01, 0.03, (0.3, 0.4, 0.35), "runtime")
        assert saving.ratio == 0.35
        assert saving.most == pytest.approx(2 / 3)
        told = saving.as_dict()
        assert told["saving"] == pytest.approx(0.65)
        assert told["time_ratio_range"] == [0.3, 0.4]
        json.dumps(told)

    def test_each_way_encodes_as_often_as_it_says_and_asks_every_model(self) -> None:
        from types import SimpleNamespace
        from typing import Any

        from lusfx.demo.saving import ROUNDS, measure_saving

        frames_encoded = [0, 0, 0]
        asked: list[int] = []

        class Counting:
            runtime = "counting"

            def __init__(self, number: int) -> None:
                self.number = number

            def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
                frames_encoded[self.number] += len(images)
                return np.zeros((len(images), 2), np.float32)

        def model(number: int) -> Any:
            return SimpleNamespace(
                heads=["head"] * (number + 1),
                score=lambda units, fingerprint: asked.append(number),
                card=SimpleNamespace(task=SimpleNamespace(pooling="mean+max")),
            )

        images = np.zeros((20, 4, 4), np.uint8)
        encoders: list[Any] = [Counting(number) for number in range(3)]
        saving = measure_saving(encoders, [model(number) for number in range(3)], images, "f" * 64)
        times = ROUNDS + 1  # the first is not counted
        assert frames_encoded == [2 * 20 * times, 20 * times, 20 * times]
        assert [asked.count(number) for number in range(3)] == [2 * times] * 3
        assert (saving.n_tasks, saving.n_heads, saving.n_frames, len(saving.ratios)) == (3, 6, 20, ROUNDS)


def test_every_set_says_that_it_is_synthetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hospital_module, "N_FRAMES", 1)
    for each in patient_sets(2):
        simulate_set(tmp_path / each.name, each, 0, lambda: None)
        with (tmp_path / each.name / LABELS).open(encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        assert all("synthetic" in row["path"] and "synthetic" in row["device"] for row in rows)
