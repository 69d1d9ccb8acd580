"""Whoever judges an encoder on what it was pretrained on is told, in the result and in the report."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lusfx.cache import Cache
from lusfx.contracts import Task
from lusfx.encoders import BUNDLED, DEFAULT_ENCODER
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.engine.evaluation.evaluate import evaluate
from lusfx.engine.extraction.extract import extract
from lusfx.engine.samples.labels import read_labels
from lusfx.engine.samples.seen_data_sets import seen_data_sets
from lusfx.engine.training.train import train_task
from lusfx.plugins import Registry
from lusfx.synth import write_archive
from lusfx.testing.small_cache import SmallCache, make_small_cache

pytestmark = pytest.mark.usefixtures("few_resamples")
WORDS = "the encoder has seen COVID-BLUES when it was pretrained"


class Plain(Task):
    """Effusion, one answer a clip."""

    name = "plain"
    label_columns = ("effusion",)


@pytest.fixture(autouse=True)
def registry(with_tasks: Callable[..., Registry]) -> Registry:
    return with_tasks(Plain())


def small_of(folder: Path, seen: tuple[str, ...], **options: int) -> SmallCache:
    """A small cache whose last run knew what the encoder has seen."""
    small = make_small_cache(folder, Plain(), **options)
    with Cache.open(small.cache).start_run(small.store.fingerprint, "an encoder", seen=seen) as ledger:
        ledger.finish(not_reached=0)
    return small


def said_of(small: SmallCache, dataset: str | None = None) -> list[str]:
    cache = Cache.open(small.cache)
    rows = read_labels(small.labels, cache, small.store, small.site_key)
    return seen_data_sets(cache, small.store.fingerprint, rows, dataset)


def with_column(labels: Path, *values: str) -> None:
    with labels.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with labels.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "dataset"])
        writer.writeheader()
        writer.writerows(row | {"dataset": values[i % len(values)]} for i, row in enumerate(rows))


def test_names_are_compared_and_not_how_they_are_spelt(tmp_path: Path) -> None:
    small = small_of(tmp_path / "small", ("COVID-BLUES", "POCUS"), n_patients=4)
    assert said_of(small) == []
    assert said_of(small, "ours") == []
    for spelt in ("COVID-BLUES", "covid blues", "CovidBlues"):
        (said,) = said_of(small, spelt)
        assert said.startswith(WORDS)
    with_column(small.labels, "", "ours", "pocus", "covid_blues")
    (said,) = said_of(small)
    assert said.startswith("the encoder has seen COVID-BLUES, POCUS when")
    assert said_of(small, "ours") == []  # the option takes the column's place


def test_what_another_encoder_has_seen_is_not_held_against_this_one(tmp_path: Path) -> None:
    small = small_of(tmp_path / "small", (), n_patients=4)
    cache = Cache.open(small.cache)
    with cache.start_run("ab" * 32, "another", seen=("POCUS",)) as ledger:
        ledger.finish(not_reached=0)
    assert cache.seen_by_encoder(small.store.fingerprint) == set()
    assert cache.seen_by_encoder("ab" * 32) == {"POCUS"}
    assert said_of(small, "POCUS") == []


@pytest.mark.slow
def test_training_and_evaluation_warn_in_result_and_report(tmp_path: Path) -> None:
    small = small_of(tmp_path / "small", ("COVID-BLUES",), n_patients=18)
    (trained,) = train_task(
        [Plain()], small.labels, small.cache, tmp_path / "model", n_folds=2, n_repeats=1, site_key=small.site_key,
        dataset="COVID-BLUES",
    )  # fmt: skip
    assert trained.warnings[0].startswith(WORDS)
    assert WORDS in (tmp_path / "model" / "report.html").read_text(encoding="utf-8")
    others = small_of(tmp_path / "others", ("COVID-BLUES",), n_patients=10, first_patient=500)
    with_column(others.labels, "COVID-BLUES")
    report = tmp_path / "evaluation.html"
    judged = evaluate(tmp_path / "model", others.labels, others.cache, report=report, site_key=others.site_key)
    assert any(warning.startswith(WORDS) for warning in judged.warnings)
    assert WORDS in report.read_text(encoding="utf-8")
    clean = evaluate(tmp_path / "model", others.labels, others.cache, site_key=others.site_key, dataset="another")
    assert not any(WORDS in warning for warning in clean.warnings)


@pytest.mark.slow
def test_a_run_puts_on_record_what_its_encoder_has_seen(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED / DEFAULT_ENCODER, tmp_path / "encoder")
    card = json.loads((tmp_path / "encoder" / "encoder.json").read_text())
    card["training_sets"] = {"names": ["POCUS"], "complete": False}
    (tmp_path / "encoder" / "encoder.json").write_text(json.dumps(card))
    assert DirectoryEncoder(tmp_path / "encoder").training_sets == ("POCUS",)
    labels = write_archive(tmp_path / "exams", n_patients=1, clips_per_patient=1, n_frames=2)
    result = extract([labels], tmp_path / "cache", encoder=str(tmp_path / "encoder"))
    assert Cache.open(tmp_path / "cache").seen_by_encoder(result.fingerprint) == {"POCUS"}
