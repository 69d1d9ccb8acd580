"""Fixtures that all tests share."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lusfx import patience
from lusfx.config import EncoderIdentity, FeatureSpec, PreprocessSpec
from lusfx.encoders.card import EncoderCard
from lusfx.site_key import SECRET_BYTES, SiteKey

SECRET = bytes(range(SECRET_BYTES))
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


for _name in [name for name in os.environ if name.startswith("LUSFX_")]:
    del os.environ[_name]  # what whoever runs the tests has set for their own work

# Decoding processes take half a second to start, and hundreds of tests extract a few frames. Those of the processes
# themselves, and of the command, ask for them.
os.environ["LUSFX_WORKERS"] = "0"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real clips; the test is skipped where they are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real clips of ../shared/data are not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def site_key() -> SiteKey:
    """A site key that is not the user's own."""
    return SiteKey(SECRET)


@pytest.fixture(autouse=True)
def own_user_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's site key and encoders out of the tests, and the tests out of theirs."""
    monkeypatch.setenv("LUSFX_HOME", str(tmp_path_factory.getbasetemp() / "lusfx-home"))
    monkeypatch.delenv("LUSFX_SITE_KEY", raising=False)


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is made to refuse is asked again at once."""
    monkeypatch.setattr(patience, "PAUSES_S", (0.0,) * len(patience.PAUSES_S))


@pytest.fixture
def feature_spec() -> FeatureSpec:
    """A feature spec with short embeddings, for tests of the cache."""
    return make_feature_spec()


def make_feature_spec(**preprocess: object) -> FeatureSpec:
    identity = EncoderIdentity(
        architecture="test",
        weights_sha256="ab" * 32,
        layer="last",
        pooling="mean",
        dim=5,
        channels=3,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )
    return FeatureSpec(encoder=identity, preprocess=PreprocessSpec.model_validate(preprocess))


def write_bare_encoder(directory: Path, dim: int, graph: bytes = b"a graph") -> None:
    """An encoder directory without weights, in the format's first version, whose graph nobody looks into."""
    files, digest = {"encoder.onnx": graph, "MODEL_CARD.md": b"# An encoder\n"}, hashlib.sha256(graph).hexdigest()
    identity = EncoderIdentity(
        architecture="onnx", weights_sha256=digest, graph_sha256=digest, layer="output", pooling="none", dim=dim, channels=1,
        mean=(0.5,), std=(0.5,),
    )  # fmt: skip
    card = EncoderCard(
        format_version=1, name="bare", identity=identity, preprocess=PreprocessSpec(), licence="CC-BY-4.0", source="a test",
        training_data="clips", files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )  # fmt: skip
    directory.mkdir()
    for name, content in (files | {"encoder.json": card.model_dump_json().encode()}).items():
        (directory / name).write_bytes(content)


@dataclass(frozen=True)
class Archive:
    """Clips with their label table, and a cache that holds all of them."""

    folder: Path
    labels: Path
    cache: Path


@pytest.fixture(scope="session")
def make_archive(tmp_path_factory: pytest.TempPathFactory, site_key: SiteKey) -> Callable[..., Archive]:
    """Makes an archive: ``write`` is given a folder, writes clips there and returns the path of their label table."""
    from lusfx.engine.extraction.extract import extract

    def make(write: Callable[[Path], Path], n_clips: int) -> Archive:
        folder = tmp_path_factory.mktemp("archive")
        labels = write(folder / "exams")
        result = extract([labels], folder / "cache", site_key=site_key)
        assert result.counts == {"encoded": n_clips}
        return Archive(folder / "exams", labels, folder / "cache")

    return make


@pytest.fixture
def own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Archive], Archive]:
    """Copies an archive, so that the test may change it; the site key is then the one it was made with."""

    def copy(made: Archive) -> Archive:
        shutil.copytree(made.folder, tmp_path / "exams")
        shutil.copytree(made.cache, tmp_path / "cache")
        key_file = tmp_path / "site.key"
        key_file.write_text(SECRET.hex())
        key_file.chmod(0o600)
        monkeypatch.setenv("LUSFX_SITE_KEY", str(key_file))
        return Archive(tmp_path / "exams", tmp_path / "exams" / made.labels.name, tmp_path / "cache")

    return copy


@pytest.fixture(scope="session")
def made_archive(make_archive: Callable[..., Archive]) -> Archive:
    """Twelve synthetic patients with two clips each, written and extracted once for all tests. Not to be changed."""
    from lusfx.synth import write_archive

    return make_archive(
        lambda folder: write_archive(folder, n_patients=12, clips_per_patient=2, n_frames=4, seed=7), n_clips=24
    )


@pytest.fixture
def archive(made_archive: Archive, own_copy: Callable[[Archive], Archive]) -> Archive:
    """A copy of the synthetic archive and its cache that the test may change."""
    return own_copy(made_archive)


@pytest.fixture
def generator() -> np.random.Generator:
    """Random numbers, the same in each run."""
    return np.random.default_rng(20260101)


@pytest.fixture(scope="module")
def few_resamples() -> Iterator[None]:
    """Makes intervals of few resamples throughout a module, where their width is not what is tested."""
    from lusfx.metrics import patient_bootstrap, performance

    with pytest.MonkeyPatch.context() as patch:
        for judge in (patient_bootstrap, performance):
            patch.setitem(judge.__kwdefaults__, "n_resamples", 100)
        yield


@pytest.fixture(scope="session")
def cut_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder of random weights that ends at a layer, with a size and a normalisation of its own. Not to be changed."""
    import torch

    from lusfx.backbone import make_backbone
    from lusfx.config import PreprocessSpec
    from lusfx.encoders.conversion import make_directory

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = make_backbone("test_efficientnet", "blocks.2")
    place = tmp_path_factory.mktemp("encoders") / "cut"
    make_directory(
        place, name="cut", architecture="timm/test_efficientnet", layer="blocks.2", mean=(0.4,) * 3, std=(0.3,) * 3,
        weights={name: value.numpy() for name, value in network.state_dict().items()},
        preprocess=PreprocessSpec(size=48), licence="CC0-1.0", training_data="nothing", source="a test", model_card="# cut",
    )  # fmt: skip
    return place
