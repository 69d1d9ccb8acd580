"""The examples run as they stand."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from lusfx.cache import Cache
from lusfx.config import FeatureSpec
from lusfx.contracts import EncoderRequest, Gate
from lusfx.errors import UsageError
from lusfx.plugins import build_registry
from lusfx.synth import write_archive

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_python_api_example_runs(tmp_path: Path) -> None:
    pytest.importorskip("lusfx_ab_lines", reason="the plugin lusfx-ab-lines is not installed")
    command = [sys.executable, "-W", "error", str(EXAMPLES / "python_api.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "32 found = 32 encoded" in done.stdout
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 9


def test_the_plugin_example_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    registry = build_registry([EntryPoint("effusion", "effusion_plugin", "lusfx")])
    assert registry.failures == []
    task = registry.task("effusion")
    assert task.target({"effusion": "1"}) == 1
    assert task.requires == Gate(task="view", is_="pleural")


@pytest.fixture
def custom_encoder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("custom_encoder", EXAMPLES / "custom_encoder.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_encoder_example_extracts_as_an_installed_plugin(tmp_path: Path, custom_encoder: ModuleType) -> None:
    """Its embeddings are in the cache under its fingerprint, and differ from clip to clip."""
    site = tmp_path / "site"
    info = site / "grid_statistics-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(EXAMPLES / "custom_encoder.py", site)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: grid-statistics\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lusfx]\ngrid = custom_encoder\n")
    labels = write_archive(tmp_path / "exams", n_patients=2, clips_per_patient=1, n_frames=4)

    def lusfx(*arguments: object) -> str:
        command = [sys.executable, "-W", "error", "-m", "lusfx", *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": str(site)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert "grid-statistics" in lusfx("encoders")
    extract = ("extract", labels, "--cache", tmp_path / "cache", "--encoder", "grid-statistics", "--json")
    assert json.loads(lusfx(*extract))["encoded"] == 2
    assert json.loads(lusfx(*extract))["cached"] == 2

    encoder = custom_encoder.open_grid(EncoderRequest("grid-statistics"))
    spec = FeatureSpec(encoder=encoder.identity, preprocess=encoder.preprocess)
    (store,) = Cache.open(tmp_path / "cache").stores()
    assert store.spec.encoder == spec.encoder
    assert store.spec.preprocess == spec.preprocess
    first, second = (store.read(key).embeddings for key in sorted(store.keys()))
    assert first.shape == second.shape == (4, 256)
    assert np.isfinite(first).all()
    assert not np.array_equal(first, second)


def test_the_encoder_example_sees_upright_and_level_lines(
    custom_encoder: ModuleType, generator: np.random.Generator
) -> None:
    encoder = custom_encoder.open_grid(EncoderRequest("grid-statistics"))
    upright = np.zeros((128, 128), np.uint8)
    upright[:, ::8] = 200
    noise = generator.integers(0, 256, (128, 128), np.uint8)
    images = np.stack([upright, upright.T, noise])
    values = encoder.encode(images)
    assert (values.dtype, values.shape) == (np.float32, (3, 256))
    along, down = values[:, 2::4], values[:, 3::4]
    assert (along[0] > down[0] + 5).all()
    assert (down[1] > along[1] + 5).all()
    np.testing.assert_array_equal(values[2], encoder.encode(images[2:])[0])  # a row depends on its image alone
    cell = noise[16:32, 32:48] / 255  # the second row's third cell
    np.testing.assert_allclose(values[2].reshape(8, 8, 4)[1, 2, :2], [cell.mean(), cell.std()], rtol=1e-6)
    assert encoder.encode(images[:0]).shape == (0, 256)


def test_the_encoder_example_refuses_what_it_cannot_do(custom_encoder: ModuleType) -> None:
    with pytest.raises(UsageError, match="no weights"):
        custom_encoder.open_grid(EncoderRequest("grid-statistics", weights=Path("x.safetensors")))
    with pytest.raises(UsageError, match="on the CPU"):
        custom_encoder.open_grid(EncoderRequest("grid-statistics", device="cuda"))
    with pytest.raises(ValueError, match="images must be uint8"):
        custom_encoder.open_grid(EncoderRequest("grid-statistics")).encode(np.zeros((1, 64, 64), np.uint8))
