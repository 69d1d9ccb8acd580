"""A made-up study: two encoders whose embeddings are made up, tables to train and to test on, no clip and no network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from lusfx.cache import Cache
from lusfx.config import EncoderIdentity, PreprocessSpec
from lusfx.contracts import Encoder, EncoderRequest, EncoderSpec, Task
from lusfx.plugins import build_registry
from lusfx.site_key import SiteKey
from lusfx.testing import make_small_cache

GOOD, POOR = "good", "poor"
TREES = {"rounds": 5, "min_data_in_leaf": 2}


class Seen(Task):
    """Something is seen, one answer a clip."""

    name, version = "seen", 1
    label_columns: ClassVar[tuple[str, ...]] = ("seen",)


class Graded(Task):
    """How much of it, one answer a clip."""

    name, version, kind = "graded", 1, "ordinal"
    classes = ("none", "some", "much")
    label_columns: ClassVar[tuple[str, ...]] = ("grade",)


class MadeUp(Encoder):
    """Never asked to encode anything: all is in the cache."""

    runtime = "none"

    def __init__(self, name: str, identity: EncoderIdentity, preprocess: PreprocessSpec) -> None:
        self.name, self.identity, self.preprocess = name, identity, preprocess

    def encode(self, images: np.ndarray) -> np.ndarray:
        raise AssertionError("everything is in the cache")


@dataclass(frozen=True)
class MadeStudy:
    """Where the made-up tables and features are.

    :param values: what would stand in a study's file.
    """

    folder: Path
    cache: Path
    site_key: SiteKey
    values: Mapping[str, Any]

    def config(self, **changes: Any) -> dict[str, Any]:
        return {**self.values, **changes}


@pytest.fixture(scope="session")
def made_study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of 16 patients to train on and of 8 others, and a cache with two encoders' features of them; made once."""
    folder = tmp_path_factory.mktemp("study")
    for name, first, n_patients in (("train", 0, 16), ("external", 100, 8)):
        made = make_small_cache(folder, Seen(), n_patients=n_patients, first_patient=first, clips_per_patient=2, dim=8)
        lines = made.labels.read_text().splitlines()
        seen = lines[0].split(",").index("seen")
        grades = [line.split(",")[seen] if number % 5 else "2" for number, line in enumerate(lines)]
        graded = [f"{line},{grade}" for line, grade in zip(lines, ["grade", *grades[1:]], strict=True)]
        (folder / f"{name}.csv").write_text("\n".join(graded) + "\n")
        made.labels.unlink()
    cache = Cache.open(folder / "cache")
    (store,) = cache.stores()
    identity = store.spec.encoder.model_copy(update={"weights_sha256": "ab" * 32})
    poor = cache.store(store.spec.model_copy(update={"encoder": identity}))
    for key in sorted(store.keys()):
        clip, generator = store.read(key), np.random.default_rng(int(key[:8], 16))
        noise = generator.normal(scale=8, size=clip.embeddings.shape[1]).astype(np.float16)
        poor.write(key, replace(clip, embeddings=clip.embeddings + noise))
    return folder


@pytest.fixture
def made_study(made_study_folder: Path, monkeypatch: pytest.MonkeyPatch) -> MadeStudy:
    """The made-up study, its tasks and encoders known as if plugins provided them."""
    cache = Cache.open(made_study_folder / "cache")
    stores = {POOR if s.spec.encoder.weights_sha256 == "ab" * 32 else GOOD: s for s in cache.stores()}
    registry = build_registry([])
    catalogue: Any = registry.tasks
    for task in (Seen(), Graded()):
        catalogue.add(task.name, task, "a test")
    catalogue = registry.encoders
    for name, store in stores.items():

        def opened(_request: EncoderRequest, name: str = name, spec: Any = store.spec) -> Encoder:
            return MadeUp(name, spec.encoder, spec.preprocess)

        catalogue.add(name, EncoderSpec(name, "made up", "none", opened), "a test")
    for module in ("run", "forecast"):
        monkeypatch.setattr(f"lusfx.studies.{module}.load_registry", lambda: registry)
    values = {
        "train": str(made_study_folder / "train.csv"),
        "tests": {"external": str(made_study_folder / "external.csv")},
        "tasks": [{"task": "seen"}, {"task": "graded", "outcome": "at least some"}],
        "encoders": [{"name": "A", "encoder": POOR}, {"name": "B", "encoder": GOOD}],
        "ways": [
            {"name": "linear", "kind": "head"},
            {"name": "trees", "kind": "head", "head": "lightgbm", "encoders": ["B"], "settings": TREES},
        ],
        "baseline": {"encoder": "A", "way": "linear"},
        "fractions": [1.0, 0.5, 0.01],
        "draws": 3,
        "folds": 2,
        "repeats": 2,
        "resamples": 40,
    }
    return MadeStudy(made_study_folder, made_study_folder / "cache", SiteKey(bytes(range(32))), values)


@pytest.fixture
def own_made_study(made_study: MadeStudy, tmp_path: Path) -> Callable[[], MadeStudy]:
    """Copies the tables, so that the test may change them; the cache stays where it is."""

    def copy() -> MadeStudy:
        for table in made_study.folder.glob("*.csv"):
            shutil.copy(table, tmp_path / table.name)
        tables = {"train": str(tmp_path / "train.csv"), "tests": {"external": str(tmp_path / "external.csv")}}
        return replace(made_study, folder=tmp_path, values={**made_study.values, **tables})

    return copy
