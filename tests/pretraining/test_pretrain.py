"""A pretraining run as a whole: from clips to an encoder that extraction takes, bounded, resumed, and nobody's name in it."""

from __future__ import annotations

import csv
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="pretraining needs torch")
pytest.importorskip("timm", reason="pretraining needs timm")

from lusfx.encoders.card import read_card
from lusfx.engine.extraction.extract import extract
from lusfx.errors import EncoderError, LusfxError, RunInterruptedError, UsageError
from lusfx.networks.decoded_frames import DecodingProgress
from lusfx.networks.frame_store import FRAMES_FILE
from lusfx.pretraining import run
from lusfx.pretraining.progress import TrainingProgress
from lusfx.pretraining.report import pretraining_page
from lusfx.pretraining.run import PretrainResult, pretrain
from lusfx.pretraining.settings import FROM_INITIAL_WEIGHTS, PretrainingSettings
from lusfx.report import render
from lusfx.site_key import SECRET_BYTES, SiteKey
from tests.engine.extraction.decoding.conftest import install_script_registry

pytestmark = pytest.mark.slow

KEY = SiteKey(bytes(range(SECRET_BYTES)))
TINY: dict[str, Any] = {"architecture": "test_efficientnet", "size": 64, "batch_size": 8, "epochs": 2, "threads": 1}


def begin(out: Path, sources: list[Path], **changed: Any) -> PretrainResult:
    return pretrain(sources, out, site_key=KEY, **(TINY | changed))


def test_nothing_named_begins_with_the_defaults_of_the_settings(tmp_path: Path, made_archive: Any) -> None:
    result = pretrain([made_archive.labels], tmp_path / "run", site_key=KEY, batch_size=8, threads=1, **stopper(1))
    for name in FROM_INITIAL_WEIGHTS:
        assert getattr(result.settings, name) == PretrainingSettings.model_fields[name].default, name
    assert result.beginning == "random weights"


def stopper(n_steps: int) -> dict[str, Any]:
    """Stops a run by hand after so many steps, so that no time goes into writing an encoder."""
    stop, steps = threading.Event(), iter(range(1, 1_000_000))

    def told(progress: DecodingProgress | TrainingProgress) -> None:
        if isinstance(progress, TrainingProgress) and next(steps) >= n_steps:
            stop.set()

    return {"stop": stop, "progress": told}


@pytest.fixture(scope="module")
def whole(made_archive: Any, tmp_path_factory: pytest.TempPathFactory) -> PretrainResult:
    """One run to its end, with a probe."""
    out = tmp_path_factory.mktemp("pretrained") / "run"
    return begin(out, [made_archive.labels], probe=made_archive.labels, probe_task="b-lines", licence="CC-BY-4.0")


def test_a_run_has_losses_and_counts_what_it_saw(whole: PretrainResult) -> None:
    """Two epochs of a few pairs need not lower the loss: that a step does is shown of the trainer."""
    assert whole.finished
    assert not whole.interrupted
    losses = [record["loss"] for record in whole.history]
    assert losses[0] is None
    assert all(np.isfinite(loss) and loss > 0 for loss in losses[1:])
    assert whole.history[2]["std"] != whole.history[0]["std"]  # the weights are others
    assert whole.data["clips"] == 24
    assert whole.data["patients"] == 12
    assert whole.data["frames"] == 24 * 4
    assert whole.data["outcomes"] == {"taken": 24}
    assert whole.images == 2 * 2 * 24 * 4


def test_the_probe_is_in_the_history(whole: PretrainResult) -> None:
    for record in whole.history:
        assert {reading: list(areas) for reading, areas in record["probe"].items()} == {
            "linear": ["B-lines"],
            "neighbours": ["B-lines"],
        }
        assert all(0 <= areas["B-lines"] <= 1 for areas in record["probe"].values())
    now, before = (record["probe"]["linear"]["B-lines"] for record in (whole.history[-1], whole.history[0]))
    assert f"linear probe {now:.3f} (before: {before:.3f})" in whole.summary()


def test_extraction_takes_the_encoder(whole: PretrainResult, made_archive: Any, tmp_path: Path) -> None:
    card = read_card(whole.out / "encoder")
    assert (card.identity.architecture, card.preprocess.size) == ("timm/test_efficientnet", 64)
    assert card.licence == "CC-BY-4.0"
    result = extract([made_archive.labels], tmp_path / "cache", encoder=str(whole.out / "encoder"), site_key=KEY)
    assert result.counts == {"encoded": 24}


def test_the_encoder_gives_what_the_network_gave(whole: PretrainResult) -> None:
    """The trained network's embeddings and those of the exported graph are the same: same weights, same normalisation."""
    from safetensors.numpy import load_file

    from lusfx.contracts import EncoderRequest
    from lusfx.encoders import open_directory
    from lusfx.networks.network import make_network
    from lusfx.pretraining.losses import LOSSES

    weights = whole.out / "encoder" / "weights.safetensors"
    network = make_network("test_efficientnet", LOSSES["simclr"].projector, 64, 0, weights)
    frames = np.memmap(whole.out / "frames" / FRAMES_FILE, np.uint8, "r").reshape(-1, 64, 64)[:5]
    encoder = open_directory(whole.out / "encoder", EncoderRequest("", device="cpu"))
    expected = network.embed(frames)
    np.testing.assert_allclose(encoder.encode(np.array(frames)), expected, atol=1e-4 * max(1, np.abs(expected).max()))
    assert load_file(weights).keys() == network.backbone.state_dict().keys()


def test_the_model_card_says_what_one_must_know(whole: PretrainResult) -> None:
    text = (whole.out / "encoder" / "MODEL_CARD.md").read_text()
    for said in (
        "96 frames of 24 clips of 12 patients",
        "CC-BY-4.0",
        "SimCLR",
        "2403.07715",
        "random weights",
        "24 clips of 12 patients, read by logistic regression",
        "| outcome | linear, before | linear, now | neighbours, before | neighbours, now |",
        "| B-lines | 0.",
        "## Limits",
    ):
        assert said in text, said


def test_the_report_draws_the_curves(whole: PretrainResult) -> None:
    page = (whole.out / "report.html").read_text()
    assert page.count("<svg") == 5
    for title in ("Loss", "Learning rate", "Spread of the embeddings", "Effective rank", "Probe"):
        assert f"<h3>{title}</h3>" in page
    assert all(f">{reading}<" in page for reading in ("linear", "neighbours"))


def test_a_run_may_go_on_with_another_probe_or_none(tmp_path: Path, made_archive: Any) -> None:
    """A probe trains nothing, so that a run begun without one, or before it had its readings, can be asked from here on."""
    out, sources = tmp_path / "run", [made_archive.labels]
    begin(out, sources, epochs=3, **stopper(13))
    probed = begin(out, sources, epochs=3, probe=made_archive.labels, probe_task="b-lines", **stopper(12))
    assert [list(record["probe"]) for record in probed.history] == [[], [], ["linear", "neighbours"]]
    assert "before:" not in probed.summary()
    page = (out / "report.html").read_text()
    assert "<h3>Probe</h3>" in page
    probed.history[0]["probe"] = {"B-lines": 0.5}
    assert "<h3>Probe</h3>" in render(pretraining_page(probed, "net", {}))


def test_nothing_in_the_directory_names_a_patient_or_a_file(whole: PretrainResult, made_archive: Any) -> None:
    with made_archive.labels.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = {row[column] for row in rows for column in ("patient_id", "exam_id")} | {
        Path(row["path"]).stem for row in rows
    }
    names.add(str(made_archive.folder))
    assert len(names) > 24
    files = [path for path in whole.out.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        content = path.read_bytes()
        assert not [name for name in names if name.encode() in content], path.name


def test_what_holds_frames_is_the_owners_alone(whole: PretrainResult) -> None:
    for path in [whole.out, *(whole.out / name for name in ("frames", "probe", "checkpoints"))]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in path.iterdir() if file.is_file())


def test_the_result_is_json(whole: PretrainResult) -> None:
    assert json.loads(json.dumps(whole.as_dict(), allow_nan=False))["finished"] is True


def test_a_collapsed_run_says_so(tmp_path: Path, made_archive: Any) -> None:
    result = begin(tmp_path / "run", [made_archive.labels], lr=0.1, weight_decay=9.0, epochs=3, **stopper(3 * 12 - 1))
    assert result.epochs_done == 2
    assert result.collapsed
    assert "COLLAPSED" in result.summary()
    assert any("collapsed" in warning for warning in result.warnings)
    assert "collapsed" in (tmp_path / "run" / "report.html").read_text()


def test_a_store_is_bounded_and_holds_a_sample(tmp_path: Path, made_archive: Any) -> None:
    changed = {"frames_per_clip": 3, "max_frames": 20, **stopper(1)}
    result = begin(tmp_path / "run", [made_archive.labels], **changed)
    assert result.data["frames"] == 20
    assert result.data["clips"] == 7
    assert result.data["outcomes"] == {"beyond the bound": 17, "taken": 7}
    assert (tmp_path / "run" / "frames" / FRAMES_FILE).stat().st_size == 20 * 64 * 64
    other = begin(tmp_path / "other", [made_archive.labels], seed=1, **(changed | stopper(1)))
    lines = [(out.out / "frames" / "clips.jsonl").read_text() for out in (result, other)]
    assert lines[0] != lines[1]


def test_decoding_that_was_stopped_goes_on(tmp_path: Path, made_archive: Any) -> None:
    stop = threading.Event()

    def told(progress: DecodingProgress | TrainingProgress) -> None:
        if isinstance(progress, DecodingProgress) and progress.done == 5:
            stop.set()

    with pytest.raises(RunInterruptedError, match="the same command goes on"):
        begin(tmp_path / "run", [made_archive.labels], stop=stop, progress=told)
    held = (tmp_path / "run" / "frames" / FRAMES_FILE).stat().st_size
    assert held == 5 * 4 * 64 * 64
    begin(tmp_path / "run", [made_archive.labels], **stopper(1))
    begin(tmp_path / "straight", [made_archive.labels], **stopper(1))
    stores = [(tmp_path / name / "frames" / FRAMES_FILE).read_bytes() for name in ("run", "straight")]
    assert stores[0] == stores[1]


def test_a_damaged_store_is_made_again_and_said(tmp_path: Path, made_archive: Any) -> None:
    begin(tmp_path / "run", [made_archive.labels], **stopper(1))
    frames = tmp_path / "run" / "frames" / FRAMES_FILE
    before = frames.read_bytes()
    frames.write_bytes(before[:5000] + bytes(100) + before[5100:])
    result = begin(tmp_path / "run", [made_archive.labels], **stopper(1))
    assert frames.read_bytes() == before
    assert any("frame store" in warning for warning in result.warnings)


def test_bad_sources_are_counted_and_stop_no_other(tmp_path: Path, archive: Any) -> None:
    clips = sorted(archive.folder.rglob("*.mp4"))
    clips[0].write_bytes(b"no video")
    clips[1].write_bytes(clips[2].read_bytes())
    clips[3].unlink()
    result = begin(tmp_path / "run", [archive.labels], **stopper(1))
    outcomes = result.data["outcomes"]
    assert (outcomes["taken"], outcomes["the same content again"]) == (21, 1)
    assert sum(count for name, count in outcomes.items() if name.startswith("failed: ")) == 2


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    tmp_path: Path, whole: PretrainResult, made_archive: Any
) -> None:
    probe = {"probe": made_archive.labels, "probe_task": "b-lines", "licence": "CC-BY-4.0"}
    stopped = begin(tmp_path / "run", [made_archive.labels], **probe, **stopper(5))
    assert stopped.interrupted
    assert not stopped.has_encoder
    # Decoded frames are enough to go on: the archive may be gone by then.
    rest = begin(tmp_path / "run", [tmp_path / "gone"], **probe)
    assert rest.finished
    assert rest.history == whole.history
    weights = [(result.out / "encoder" / "weights.safetensors").read_bytes() for result in (whole, rest)]
    assert weights[0] == weights[1]


def test_a_run_whose_time_is_over_has_an_encoder_and_goes_on(tmp_path: Path, made_archive: Any) -> None:
    begin(tmp_path / "run", [made_archive.labels], **stopper(13))
    result = begin(tmp_path / "run", [made_archive.labels], minutes=0)
    assert not result.finished
    assert not result.interrupted
    assert result.has_encoder
    assert "not finished" in (tmp_path / "run" / "encoder" / "MODEL_CARD.md").read_text()
    assert "the same command goes on" in result.summary()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "vicreg"}, "method simclr, not vicreg"),
        ({"epochs": 3}, "epochs 2, not 3"),
        ({"delta_s": 0.5}, "delta-s"),
    ],
)
def test_other_settings_do_not_go_on_with_a_run(
    whole: PretrainResult, made_archive: Any, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        begin(whole.out, [made_archive.labels], **change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lr": -1.0}, "lr"),
        ({"method": "moco"}, "method"),
        ({"warmup_epochs": 2}, "warmup-epochs"),
        ({"architecture": "no_such_net"}, "timm knows no model"),
        ({"probe_task": "b-lines"}, "go together"),
    ],
)
def test_settings_without_sense_are_refused_before_any_work(
    tmp_path: Path, made_archive: Any, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        begin(tmp_path / "run", [made_archive.labels], **change)
    assert not (tmp_path / "run").exists()


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path, made_archive: Any) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="no pretraining run"):
        begin(tmp_path, [made_archive.labels])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_runs_do_not_share_a_directory(tmp_path: Path, made_archive: Any) -> None:
    second: list[str] = []

    def told(progress: DecodingProgress | TrainingProgress) -> None:
        if isinstance(progress, DecodingProgress) and progress.done == 3:
            with pytest.raises(LusfxError, match="another run is at work") as refused:
                begin(tmp_path / "run", [made_archive.labels])
            second.append(str(refused.value))
            stop.set()

    stop = threading.Event()
    with pytest.raises(RunInterruptedError):
        begin(tmp_path / "run", [made_archive.labels], stop=stop, progress=told)
    assert len(second) == 1


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, whole: PretrainResult, made_archive: Any) -> None:
    with pytest.raises(EncoderError, match="does not fit timm/mobilenetv3_small_075"):
        begin(
            tmp_path / "run",
            [made_archive.labels],
            architecture="mobilenetv3_small_075",
            weights=whole.out / "encoder" / "weights.safetensors",
        )


def test_a_run_may_begin_with_the_weights_of_another(tmp_path: Path, whole: PretrainResult, made_archive: Any) -> None:
    weights = whole.out / "encoder" / "weights.safetensors"
    result = begin(tmp_path / "run", [made_archive.labels], weights=weights, **stopper(1))
    assert result.settings.weights_sha256 is not None
    assert result.history[0]["std"] == pytest.approx(whole.history[-1]["std"], rel=1e-5)


def test_a_run_that_is_older_than_layers_goes_on(made_archive: Any, tmp_path: Path) -> None:
    begin(tmp_path / "run", [made_archive.labels], **stopper(1))
    file = tmp_path / "run" / "run.json"
    stated = json.loads(file.read_text())
    for younger in ("layer", "normalisation"):
        del stated["settings"][younger]
    file.write_text(json.dumps(stated))
    assert begin(tmp_path / "run", [made_archive.labels], **stopper(1)).images == 2 * 2 * 8


def test_sources_without_a_clip_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "exams").mkdir()
    with pytest.raises(LusfxError, match="nothing to learn from"):
        begin(tmp_path / "run", [tmp_path / "exams"])


@pytest.mark.skipif(os.name != "posix", reason="decoding processes are POSIX")
def test_a_file_that_kills_its_decoder_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = install_script_registry(tmp_path / "site", monkeypatch)
    monkeypatch.setattr(run, "load_registry", lambda: registry)
    monkeypatch.setenv("LUSFX_WORKERS", "1")
    (tmp_path / "exams").mkdir()
    for number, script in enumerate(["1 2 3", "4 segfault", "5 6 7", "8 exit:1", "9 10 11"]):
        (tmp_path / "exams" / f"{number}.script").write_text(script)
    result = begin(tmp_path / "run", [tmp_path / "exams"], **stopper(1))
    assert result.data["outcomes"] == {"failed: decoder-died": 2, "taken": 3}
    assert result.data["frames"] == 9


@pytest.mark.parametrize("seed", [0, 1])
def test_views_of_a_pair_are_told_from_others_and_the_probe_is_asked(tmp_path: Path, seed: int) -> None:
    """SimCLR's loss falls below that of views all alike, log(2N - 1) for N pairs. What the probe reads may rise or fall."""
    from lusfx.synth import write_archive

    labels = write_archive(tmp_path / "exams", n_patients=16, clips_per_patient=3, n_frames=4, seed=5)
    changed = {"epochs": 3, "batch_size": 24, "augmentation": "byol", "lr": 6e-3, "seed": seed}
    result = begin(tmp_path / "run", [labels], probe=labels, probe_task="b-lines", **changed)
    assert not result.collapsed
    assert result.history[-1]["loss"] < np.log(2 * 24 - 1) - 0.1
    for reading in ("linear", "neighbours"):
        areas = [record["probe"][reading]["B-lines"] for record in result.history]
        assert len(areas) == 4
        assert all(0 <= area <= 1 for area in areas)
