"""Features of so many frames a second: of the right frames, and a task model that learnt from them asks for no others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lusfx.cache import Cache
from lusfx.cli import cache as cache_commands
from lusfx.cli.extract import command as extract_command
from lusfx.contracts import Task
from lusfx.engine.evaluation.evaluate import evaluate
from lusfx.engine.extraction.extract import extract
from lusfx.engine.samples.stores import choose_store
from lusfx.engine.scoring.score import score
from lusfx.engine.training.train import train_task
from lusfx.errors import CacheError, UsageError
from lusfx.plugins import load_registry
from lusfx.site_key import SiteKey
from lusfx.synth import write_archive
from lusfx.task_model import load_task_model
from lusfx.task_model.card import as_json

HEADS = load_registry().heads.as_mapping()
N_PATIENTS, N_FRAMES = 16, 5


class Lines(Task):
    """Are there B-lines?"""

    name = "lines"
    label_columns = ("b_lines",)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of 5 frames, 25 a second. Not to be changed."""
    out = tmp_path_factory.mktemp("archive") / "exams"
    return write_archive(out, n_patients=N_PATIENTS, clips_per_patient=1, n_frames=N_FRAMES, seed=7)


@pytest.fixture
def clip(labels: Path) -> Path:
    return min((labels.parent / "clips").iterdir())


def test_sampled_features_are_those_rows_of_the_whole_clip(clip: Path, tmp_path: Path, site_key: SiteKey) -> None:
    cache = Cache.open(tmp_path / "cache", create=True)
    read = {}
    for fps in (None, 25.0, 12.5, 6.25, 0.1):
        result = extract([clip], cache.directory, fps=fps, site_key=site_key)
        assert result.counts["encoded"] == 1
        read[fps] = cache.find(result.fingerprint).read(result.clip_of[clip])
        assert result.frames == read[fps].n_frames
    whole = read[None]
    rate = 1 / float(np.diff(whole.times_s).mean())
    assert rate == pytest.approx(25)
    for fps, step in ((25.0, 1), (12.5, 2), (6.25, 4), (0.1, N_FRAMES)):
        wanted = np.arange(0, N_FRAMES, step)
        np.testing.assert_array_equal(read[fps].source_frame, wanted)
        np.testing.assert_array_equal(read[fps].times_s, whole.times_s[wanted])
        # The beam is that of the whole clip, so a frame's embedding is what it is without sampling.
        assert read[fps].provenance["beam_box"] == whole.provenance["beam_box"]
        largest = np.abs(whole.embeddings).max()
        np.testing.assert_allclose(read[fps].embeddings, whole.embeddings[wanted], atol=1e-3 * float(largest))
    assert len(cache.stores()) == 5


@pytest.mark.slow
def test_what_is_learnt_at_a_rate_is_asked_at_that_rate(
    labels: Path, clip: Path, tmp_path: Path, site_key: SiteKey
) -> None:
    cache, out, place = tmp_path / "cache", tmp_path / "scores.csv", tmp_path / "model"
    sampled = extract([labels], cache, fps=6.25, site_key=site_key)
    assert sampled.frames == N_PATIENTS * 2
    train_task([Lines()], labels, cache, place, n_folds=2, n_repeats=1, site_key=site_key)
    model = load_task_model(place, HEADS)
    assert model.card.features.fps == 6.25
    assert model.card.features.fingerprint == sampled.fingerprint
    assert as_json(model.card)["features"]["fps"] == 6.25
    of_all = model.card.model_copy(update={"features": model.card.features.model_copy(update={"fps": None})})
    assert "fps" not in as_json(of_all)["features"]

    other = tmp_path / "other-cache"
    extract([clip], other, site_key=site_key)
    for ask in (
        lambda: score([], [place], other, out),
        lambda: evaluate(place, labels, other, task=Lines(), site_key=site_key),
    ):
        with pytest.raises(CacheError, match=r"--encoder lung-lite0 --fps 6\.25$"):
            ask()
    scored = score([labels], [place], other, out, site_key=site_key)
    assert scored.extraction is not None
    assert scored.extraction.fingerprint == sampled.fingerprint
    assert scored.extraction.counts["encoded"] == scored.rows["scored"] == N_PATIENTS
    assert scored.extraction.frames == sampled.frames
    again = score([labels], [place], other, tmp_path / "again.csv", site_key=site_key)
    assert again.extraction is not None
    assert again.extraction.counts["cached"] == N_PATIENTS
    assert score([], [place], cache, tmp_path / "cached.csv").rows["scored"] == N_PATIENTS

    with pytest.raises(UsageError, match=r"\(lung-lite0, 6.25 frames a second\)"):
        choose_store(Cache.open(other), None)
    assert "6.25 a second" in CliRunner().invoke(cache_commands.command, ["info", "--cache", str(other)]).output


def test_the_command_takes_a_rate_and_explain_names_it(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUSFX_SITE_KEY", str(tmp_path / "site.key"))
    cache = str(tmp_path / "cache")
    run = CliRunner().invoke(extract_command, [str(clip), "--cache", cache, "--fps", "12.5", "--json"])
    assert run.exit_code == 0
    assert json.loads(run.stdout)["frames"] == 3
    for options, verdict in (
        ([], "other-fingerprint"),
        (["--fps", "12.5"], "hit"),
        (["--fps", "5"], "other-fingerprint"),
    ):
        arguments = ["explain", str(clip), "--cache", cache, *options, "--json"]
        said = json.loads(CliRunner().invoke(cache_commands.command, arguments).stdout)
        assert said["verdict"] == verdict
        assert [list(miss["differing"]) for miss in said["misses"]] == [["preprocess.fps"]] * (verdict != "hit")
    for rate in ("0", "-1", "1001", "some"):
        refused = CliRunner().invoke(extract_command, [str(clip), "--cache", cache, "--fps", rate])
        assert refused.exit_code == 2, rate
