"""A dry run says what would be done, and does none of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lusfx.studies import Forecast, forecast_study, study


def forecast(made: Any, out: Path, config: Any = None, **options: Any) -> Forecast:
    return forecast_study(config or made.values, out, **{"cache": made.cache, "site_key": made.site_key, **options})


def test_it_counts_what_will_be_trained_and_keeps_nothing(tmp_path: Path, made_study: Any) -> None:
    found = forecast(made_study, tmp_path / "out")
    assert {runs.way: (runs.n_runs, runs.n_done) for runs in found.runs} == {
        "linear": (2 * 2 * 23, 0),
        "trees": (2 * 23, 0),
    }
    assert all(runs.seconds is not None and runs.seconds > 0 and runs.because == "by a trial" for runs in found.runs)
    assert found.summary().startswith("138 runs; about ")
    assert found.lines()[0] == "encode: nothing, all is in the cache"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_its_numbers_are_those_of_the_study(tmp_path: Path, made_study: Any) -> None:
    config = made_study.config(tasks=[{"task": "seen"}], fractions=[1.0, 0.5], draws=2)
    expected = forecast(made_study, tmp_path / "out", config)
    study(config, tmp_path / "out", cache=made_study.cache, site_key=made_study.site_key)
    after = forecast(made_study, tmp_path / "out", config)
    assert [runs.n_done for runs in after.runs] == [runs.n_runs for runs in expected.runs]
    assert after.summary() == f"{sum(runs.n_runs for runs in expected.runs)} runs; no time with 1 worker"
    more = forecast(made_study, tmp_path / "out", {**config, "draws": 3}, workers=2)
    assert all(runs.because == "by those that are there" for runs in more.runs)
    assert more.as_dict()["workers"] == 2


def test_without_features_it_says_what_it_cannot_know(tmp_path: Path, made_study: Any) -> None:
    found = forecast(made_study, tmp_path / "out", cache=None)
    assert [runs.n_done for runs in found.runs] == [None, None]
    assert sum(runs.n_runs for runs in found.runs) == 138
    assert not (tmp_path / "out").exists()


def test_clips_without_features_are_counted(tmp_path: Path, own_made_study: Callable[[], Any]) -> None:
    own = own_made_study()
    table = own.folder / "train.csv"
    header, *lines = table.read_text().splitlines()
    table.write_text(
        "\n".join([f"{header},path", *(f"{line}," for line in lines), f"{',' * header.count(',')},a.mp4"]) + "\n"
    )
    found = forecast(own, tmp_path / "out")
    assert [(one.encoder, one.n_clips, one.seconds) for one in found.encodings] == [("A", 1, None), ("B", 1, None)]
    assert found.lines()[0] == "encode with A: 1 clips"
