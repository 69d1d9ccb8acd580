"""The demo, start to finish, by its command: twice, the second time from what the first left."""

from __future__ import annotations

import csv
import html
import json
import re
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from lusfx.cli import group
from lusfx.demo import hospital, run_demo
from lusfx.errors import RunInterruptedError
from lusfx.site_key import SiteKey
from lusfx.task_model import UnitFeatures

pytestmark = pytest.mark.slow

PATIENTS = 24
N_FRAMES = 2
PAGE_BYTES = 6_000_000


def test_it_refuses_what_is_not_its_own(lusfx: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    told = lusfx("demo", "mine")
    assert told.code == 2
    assert "no demo of lusfx" in told.err
    assert told.out == ""
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@dataclass(frozen=True)
class Runs:
    """Two runs in one directory. Not to be changed."""

    out: Path
    home: Path
    first: dict[str, Any]
    first_page: str
    lines: list[str]
    second: dict[str, Any]
    second_page: str


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("demo")
    arguments = ["demo", str(folder / "out"), "--patients", str(PATIENTS)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hospital, "N_FRAMES", N_FRAMES)
        patch.setenv("LUSFX_HOME", str(folder / "home"))
        patch.delenv("LUSFX_SITE_KEY", raising=False)
        page = folder / "out" / "demo.html"
        first = CliRunner().invoke(group, [*arguments, "--json"], catch_exceptions=False)
        assert first.exit_code == 0, first.output
        first_page = page.read_text(encoding="utf-8")
        second = CliRunner().invoke(group, [*arguments, "--json"], catch_exceptions=False)
        assert second.exit_code == 0, second.output
        yield Runs(
            folder / "out",
            folder / "home",
            json.loads(first.stdout),
            first_page,
            first.stderr.splitlines(),
            json.loads(second.stdout),
            page.read_text(encoding="utf-8"),
        )


def interval(figure: dict[str, Any]) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


class TestWhole:
    def test_a_line_a_stage_is_printed(self, runs: Runs) -> None:
        names = [stage["stage"] for stage in runs.first["stages"]]
        assert names[:2] == ["draw", "encode"]
        assert names[-3:] == ["score", "measure", "page"]
        assert len(runs.lines) == len(names)
        assert all(line.startswith(name) for line, name in zip(runs.lines, names, strict=True))

    def test_the_first_run_encodes_everything_once(self, runs: Runs) -> None:
        extraction = runs.first["extraction"]
        n_clips = sum(each["clips"] for each in runs.first["sets"])
        assert n_clips == 2 * PATIENTS * hospital.CLIPS_A_PATIENT
        assert (extraction["found"], extraction["encoded"], extraction["failed"]) == (n_clips, n_clips, 0)
        assert extraction["frames"] == n_clips * N_FRAMES
        assert runs.first["synthetic"] is True
        assert runs.first["all_found"] is False
        assert all(stage["times_faster"] is None for stage in runs.first["stages"])

    def test_the_second_run_encodes_and_draws_nothing_and_says_how_much_faster_that_is(self, runs: Runs) -> None:
        extraction = runs.second["extraction"]
        assert (extraction["encoded"], extraction["cached"]) == (0, extraction["found"])
        assert (runs.second["patients_drawn"], runs.second["all_found"]) == (0, True)
        for name in ("draw", "encode"):
            (now,) = [stage for stage in runs.second["stages"] if stage["stage"] == name]
            (before,) = [stage for stage in runs.first["stages"] if stage["stage"] == name]
            assert now["first_seconds"] == pytest.approx(before["seconds"], abs=0.5)
            assert now["times_faster"] == pytest.approx(now["first_seconds"] / max(now["seconds"], 1e-3))
        assert "Nothing was drawn or encoded" in runs.second_page
        assert "Nothing was drawn or encoded" not in runs.first_page

    def test_both_runs_find_the_same(self, runs: Runs) -> None:
        for first, second in zip(runs.first["tasks"], runs.second["tasks"], strict=True):
            for place in ("local", "external"):
                assert first[place]["outcomes"] == second[place]["outcomes"]

    def test_the_figures_on_the_page_are_those_of_the_results(self, runs: Runs) -> None:
        text = html.unescape(re.sub(r"<[^>]+>", " ", runs.second_page))
        assert [task["task"] for task in runs.second["tasks"]] == ["view", "ab-lines", "effusion"]
        stated = 0
        for task in runs.second["tasks"]:
            for place, metrics in (("trained", "cross_validated"), ("local", "metrics"), ("external", "metrics")):
                for outcome in task[place]["outcomes"]:
                    figure = outcome[metrics]["roc_auc"]
                    if figure["value"] is not None:
                        assert interval(figure) in text
                        stated += 1
        assert stated >= 9
        saving = runs.second["saving"]
        assert f"{100 * saving['saving']:.0f}%" in text
        assert "67%" in text
        assert "49% less time" in text

    def test_the_page_needs_nothing_else_and_is_light(self, runs: Runs) -> None:
        assert len(runs.second_page.encode()) < PAGE_BYTES
        assert not re.search(r"https?://(?!www\.w3\.org/)", runs.second_page)
        assert not re.search(r"<(img|script|link|iframe)[^>]*\b(src|href)=", runs.second_page)
        assert "Everything here is synthetic" in runs.second_page

    def test_no_patient_and_no_path_stands_on_the_page(self, runs: Runs) -> None:
        key = SiteKey.load(runs.out / "site.key")
        for number in (1, 2, 10_001):
            for identifier in (f"synthetic-{number:04}", f"synthetic-external-{number:04}"):
                assert identifier not in runs.second_page
                assert key.patient(identifier)[:12] not in runs.second_page
        assert str(runs.out) not in runs.second_page

    def test_the_users_site_key_is_not_touched(self, runs: Runs) -> None:
        assert (runs.out / "site.key").exists()
        assert not (runs.home / "site.key").exists()

    def test_gated_questions_have_no_answer_where_the_view_is_another(self, runs: Runs) -> None:
        with (runs.out / "scores.csv").open(encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        by_clip: dict[str, dict[str, str]] = {}
        for row in rows:
            by_clip.setdefault(row["clip"], {})[row["task"]] = row["answer"]
        assert len(by_clip) == PATIENTS * hospital.CLIPS_A_PATIENT
        for answers in by_clip.values():
            assert bool(answers["ab-lines"]) == (answers["view"] == "parenchymal")
            assert bool(answers["effusion"]) == (answers["view"] == "pleural")

    def test_frame_scores_are_the_head_asked_of_each_frame_by_itself(self, runs: Runs) -> None:
        from lusfx.cache import Cache
        from lusfx.plugins import load_registry
        from lusfx.task_model import load_task_model

        data = json.loads(re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', runs.second_page)[0])
        assert len(data["cines"]) >= 4
        model = load_task_model(runs.out / "models" / "view", load_registry().heads.as_mapping())
        store = Cache.open(runs.out / "cache").find(model.card.features.fingerprint)
        known = set()
        for key in sorted(store.keys()):
            rows = store.read(key).embeddings.astype(np.float32)
            stills = np.concatenate([rows, rows], axis=1)  # one frame is its clip's mean and its maximum
            said = model.score(UnitFeatures(stills, rows), store.fingerprint)[:, 0]
            known.add(tuple(np.round(said, 3).tolist()))
        column = data["series"].index("pleural")
        for cine in data["cines"]:
            assert len(cine["frames"]) == len(cine["times"]) == N_FRAMES
            assert tuple(cine["scores"][column]) in known

    def test_what_lies_beside_the_page_is_there(self, runs: Runs) -> None:
        for name in ("scores.html", "evaluations/view-local.html", "evaluations/effusion-external.html"):
            assert (runs.out / name).read_text(encoding="utf-8").startswith("<!doctype html>")
        assert {path.name for path in (runs.out / "models").iterdir()} == {"view", "ab-lines", "effusion"}


def test_a_stopped_demo_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped while encoding: what was drawn is found, and what was encoded is not encoded again."""
    monkeypatch.setattr(hospital, "N_FRAMES", 1)
    stop = threading.Event()

    def stop_in_the_middle(text: str) -> None:
        if text.startswith("encoding: 20 "):
            stop.set()

    with pytest.raises(RunInterruptedError, match="Run the same command again"):
        run_demo(tmp_path / "out", n_patients=PATIENTS, progress=stop_in_the_middle, stop=stop)
    told: list[Any] = []
    again = threading.Event()

    def end_after_encoding(stage: Any) -> None:
        told.append(stage)
        if stage.name == "encode":
            again.set()

    with pytest.raises(RunInterruptedError):
        run_demo(tmp_path / "out", n_patients=PATIENTS, on_stage=end_after_encoding, stop=again)
    draw, encode = told
    assert f"{2 * PATIENTS} of them found" in draw.said
    cached = int(re.findall(r"(\d+) cached", encode.said)[0])
    assert cached >= 20
    assert f"{2 * PATIENTS * hospital.CLIPS_A_PATIENT} found" in encode.said


def test_ctrl_c_stops_it_with_the_usual_code(tmp_path: Path) -> None:
    import subprocess
    import sys
    import time

    process = subprocess.Popen(
        [sys.executable, "-m", "lusfx", "demo", "out"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "out" / "exams").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Run the same command again" in errors
    assert "Traceback" not in errors
