"""A pretraining that goes on from an encoder: it begins as the encoder is, keeps its form, and goes on with nothing else."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="pretraining needs torch")
pytest.importorskip("timm", reason="pretraining needs timm")

from lusfx.encoders.card import read_card
from lusfx.engine.extraction.extract import extract
from lusfx.errors import UsageError
from lusfx.networks.decoded_frames import DecodingProgress
from lusfx.networks.frame_store import FRAMES_FILE
from lusfx.pretraining.progress import TrainingProgress
from lusfx.pretraining.run import PretrainResult, pretrain
from lusfx.site_key import SECRET_BYTES, SiteKey

pytestmark = pytest.mark.slow

KEY = SiteKey(bytes(range(SECRET_BYTES)))
TINY: dict[str, Any] = {"batch_size": 8, "epochs": 2, "threads": 1}


def after_a_step() -> dict[str, Any]:
    """Stops a run by hand after its first step."""
    stop = threading.Event()

    def told(progress: DecodingProgress | TrainingProgress) -> None:
        if isinstance(progress, TrainingProgress):
            stop.set()

    return {"stop": stop, "progress": told}


def begin_with(encoder: Path, out: Path, sources: list[Path], **changed: Any) -> PretrainResult:
    return pretrain(sources, out, encoder=str(encoder), site_key=KEY, **(TINY | changed))


def test_an_encoder_that_was_begun_with_keeps_its_layer_size_and_normalisation(
    cut_encoder: Path, made_archive: Any, tmp_path: Path
) -> None:
    run = begin_with(cut_encoder, tmp_path / "run", [made_archive.labels], augmentation="degraded")
    assert run.finished
    before, after = read_card(cut_encoder), read_card(run.out / "encoder")
    for name in ("architecture", "layer", "pooling", "dim", "mean", "std"):
        assert getattr(after.identity, name) == getattr(before.identity, name), name
    assert after.identity.weights_sha256 != before.identity.weights_sha256
    assert after.preprocess == before.preprocess
    assert (after.name, after.licence) == ("cut-simclr", "CC0-1.0")
    words = f"the encoder cut (weights {before.identity.weights_sha256}, trained on nothing)"
    assert f"begun with {words}" in after.source
    card, page = ((run.out / name).read_text() for name in ("encoder/MODEL_CARD.md", "report.html"))
    assert f"Training began with {words}" in card
    assert "after lusfx's own degradation" in card
    assert "the encoder cut" in page
    assert json.loads((run.out / "run.json").read_text())["settings"]["layer"] == "blocks.2"
    extracted = extract([made_archive.labels], tmp_path / "cache", encoder=str(run.out / "encoder"), site_key=KEY)
    assert extracted.counts == {"encoded": 24}


def test_a_run_begins_as_the_encoder_is(cut_encoder: Path, made_archive: Any, tmp_path: Path) -> None:
    """What the monitors see before the first step is what the encoder says of the same frames."""
    import torch

    from lusfx.contracts import EncoderRequest
    from lusfx.encoders import open_directory
    from lusfx.pretraining.monitors import embedding_std

    run = begin_with(cut_encoder, tmp_path / "run", [made_archive.labels], **after_a_step())
    frames = np.memmap(run.out / "frames" / FRAMES_FILE, np.uint8, "r").reshape(-1, 48, 48)
    embeddings = open_directory(cut_encoder, EncoderRequest("", device="cpu")).encode(np.array(frames))
    assert run.history[0]["std"] == pytest.approx(embedding_std(torch.from_numpy(embeddings)), rel=1e-3)


def test_a_run_goes_on_with_what_it_began_with_and_nothing_else(
    cut_encoder: Path, made_archive: Any, tmp_path: Path
) -> None:
    out, sources = tmp_path / "run", [made_archive.labels]
    begin_with(cut_encoder, out, sources, **after_a_step())
    assert begin_with(cut_encoder, out, sources, **after_a_step()).images == 2 * 2 * 8
    weights = cut_encoder / "weights.safetensors"
    same = {"architecture": "test_efficientnet", "size": 48}
    for change, said in (
        ({"encoder": "lung-lite0"}, "architecture test_efficientnet, not tf_efficientnet_lite0"),
        ({"encoder": str(cut_encoder), "size": 64}, "size 48, not 64"),
        ({**same, "layer": "blocks.2"}, "weights-sha256 [0-9a-f]{64}, not None"),
        ({**same, "layer": "blocks.2", "weights": weights}, "normalisation"),
        (same, "layer blocks.2, not global-pool"),
    ):
        with pytest.raises(UsageError, match=f"--out holds a run with {said}"):
            pretrain(sources, out, site_key=KEY, **(TINY | change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": "resnet18"}, "not both"),
        ({"layer": "blocks.1"}, "--layer goes with --architecture"),
        ({"weights": Path("w.safetensors")}, "--weights goes with --architecture"),
        ({"size": 600}, "size"),
    ],
)
def test_initial_weights_that_do_not_go_together_are_refused(
    cut_encoder: Path, made_archive: Any, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        begin_with(cut_encoder, tmp_path / "run", [made_archive.labels], **change)
    assert not (tmp_path / "run").exists()
