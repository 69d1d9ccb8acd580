"""A task model remembers the precision of its features, and scoring opens the encoder in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lusfx.cache import Cache
from lusfx.cli.cache import explain
from lusfx.contracts import Task
from lusfx.engine.extraction.extract import extract
from lusfx.engine.scoring.score import score
from lusfx.engine.training.train import train_task
from lusfx.errors import CacheError
from lusfx.plugins import load_registry
from lusfx.site_key import SiteKey
from lusfx.synth import write_archive
from lusfx.task_model import load_task_model

openvino, _ = (pytest.importorskip(package, reason=f"{package} is not installed") for package in ("openvino", "onnx"))
if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
    pytest.skip("this processor has no bfloat16 arithmetic", allow_module_level=True)


HEADS = load_registry().heads.as_mapping()


class Lines(Task):
    """Are there B-lines?"""

    name = "lines"
    label_columns = ("b_lines",)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "exams", n_patients=16, clips_per_patient=1, n_frames=2, seed=7)


@pytest.mark.slow
def test_what_is_learnt_from_bfloat16_is_asked_in_bfloat16(labels: Path, tmp_path: Path, site_key: SiteKey) -> None:
    cache, out = tmp_path / "cache", tmp_path / "scores.csv"
    half = extract([labels], cache, precision="bfloat16", site_key=site_key)
    assert half.counts["encoded"] == half.found
    again = extract([labels], cache, precision="bfloat16", site_key=site_key)
    assert again.counts["cached"] == half.found
    (result,) = train_task([Lines()], labels, cache, tmp_path / "model", n_folds=2, n_repeats=1, site_key=site_key)
    model = load_task_model(tmp_path / "model", HEADS)
    assert model.card.features.precision == "bfloat16"
    assert model.card.features.fingerprint == half.fingerprint == result.fingerprint

    other = tmp_path / "other-cache"
    extract([labels], other, site_key=site_key)  # float32: not what the model takes
    with pytest.raises(CacheError, match="--encoder lung-lite0 --precision bfloat16"):
        score([], [tmp_path / "model"], other, out)
    scored = score([labels], [tmp_path / "model"], other, out, site_key=site_key)
    assert scored.extraction is not None
    assert scored.extraction.fingerprint == half.fingerprint
    assert scored.extraction.counts["encoded"] == half.found
    assert scored.rows["scored"] == half.found
    assert len(Cache.open(other).store_directories()) == 2


def test_explain_names_the_precision(labels: Path, tmp_path: Path, site_key: SiteKey) -> None:
    extract([labels], tmp_path / "cache", site_key=site_key)
    clip = next((tmp_path / "exams" / "clips").iterdir())
    said = CliRunner().invoke(
        explain, [str(clip), "--cache", str(tmp_path / "cache"), "--precision", "bfloat16", "--json"]
    )
    (miss,) = json.loads(said.output)["misses"]
    assert list(miss["differing"]) == ["precision"]


def test_a_model_of_float32_does_not_speak_of_precision(labels: Path, tmp_path: Path, site_key: SiteKey) -> None:
    extract([labels], tmp_path / "cache", site_key=site_key)
    train_task([Lines()], labels, tmp_path / "cache", tmp_path / "model", n_folds=2, n_repeats=1, site_key=site_key)
    assert "precision" not in json.loads((tmp_path / "model" / "task_model.json").read_text())["features"]
    assert load_task_model(tmp_path / "model", HEADS).card.features.precision == "float32"
