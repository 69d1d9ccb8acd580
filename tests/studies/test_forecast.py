"""A dry run says what would be done, and does none of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lusfx.cache import Cache
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


@pytest.mark.slow
def test_features_of_another_rate_are_others(tmp_path: Path, made_study: Any) -> None:
    """Rates are compared as encoders are; here the cache has as many frames of each clip at both."""
    own = replace(made_study, cache=shutil.copytree(made_study.cache, tmp_path / "cache"))
    encoders = [entry for entry in own.values["encoders"] if entry["name"] == "A"]
    ways, tasks = [{"name": "linear", "kind": "head"}], [{"task": "seen"}]
    encoders.append({**encoders[0], "name": "A at 3", "fps": 3})
    config = own.config(encoders=encoders, ways=ways, tasks=tasks, fractions=[1.0])
    assert forecast(own, tmp_path / "out", config).runs[0].because == "no estimate before clips are encoded"
    cache = Cache.open(own.cache)
    (store,) = [one for one in cache.stores() if one.spec.encoder.weights_sha256 == "ab" * 32]
    sampled = cache.store(store.spec.sampled(3))
    for key in sorted(store.keys()):
        sampled.write(key, store.read(key))
    assert forecast(own, tmp_path / "out", config).runs[0].because == "by a trial"
    study(config, tmp_path / "out", cache=own.cache, site_key=own.site_key)
    record = json.loads((tmp_path / "out" / "study.json").read_text())
    fingerprints = {name: found["fingerprint"] for name, found in record["encoders"].items()}
    assert fingerprints == {"A": store.fingerprint, "A at 3": sampled.fingerprint}


def test_clips_without_features_are_counted(tmp_path: Path, own_made_study: Callable[[], Any]) -> None:
    own = own_made_study()
    table = own.folder / "train.csv"
    header, *lines = table.read_text().splitlines()
    table.write_text(
        "\n".join([f"{header},path", *(f"{line}," for line in lines), f"{',' * header.count(',')},a.mp4"]) + "\n"
    )
    found = forecast(own, tmp_path / "out")
    assert [(one.encoder, one.n_clips, one.seconds) for one in found.encodings] == [("A", 1, None), ("B", 1, None)]
    assert found.lines()[0] == "encode with A: 1 clip"
