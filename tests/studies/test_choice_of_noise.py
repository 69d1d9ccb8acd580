"""Of many encoders that know nothing the highest figure promises much, and the choice within the training patients nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.cache import Cache
from lusfx.contracts import Encoder, EncoderRequest, EncoderSpec, Task
from lusfx.plugins import build_registry
from lusfx.site_key import SiteKey
from lusfx.studies import study
from lusfx.studies.config import CHOSEN, LOCAL, MEAN
from lusfx.studies.costs import BY_TASK
from lusfx.testing import make_small_cache

pytestmark = pytest.mark.slow

N_ENCODERS, N_PATIENTS, QUESTIONS = 10, 60, ("first", "second", "third", "fourth")
TREES = {"rounds": 10, "min_data_in_leaf": 3, "feature_fraction": 1.0}


class Tossed(Task):
    """A coin was tossed, one answer a clip."""

    version = 1

    def __init__(self, name: str) -> None:
        self.name, self.label_columns = name, (name,)


class Noise(Encoder):
    """Never asked to encode anything: all is in the cache."""

    runtime = "none"

    def __init__(self, name: str, spec: Any) -> None:
        self.name, self.identity, self.preprocess = name, spec.encoder, spec.preprocess

    def encode(self, images: np.ndarray) -> np.ndarray:
        raise AssertionError("everything is in the cache")


def test_the_best_of_many_that_know_nothing_looks_good_and_the_choice_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [Tossed(name) for name in QUESTIONS]
    made = make_small_cache(tmp_path, tasks[0], n_patients=N_PATIENTS, clips_per_patient=1, dim=6)
    header, *lines = made.labels.read_text().splitlines()
    generator = np.random.default_rng(0)
    tossed = [generator.permutation(np.arange(N_PATIENTS) % 2) for _ in QUESTIONS]
    column = header.split(",").index(QUESTIONS[0])
    rows = []
    for patient, line in enumerate(lines):
        cells = line.split(",")
        cells[column] = str(tossed[0][patient])
        rows.append(",".join([*cells, *(str(answers[patient]) for answers in tossed[1:])]))
    labels = tmp_path / "tossed.csv"
    labels.write_text("\n".join([",".join([header, *QUESTIONS[1:]]), *rows]) + "\n")

    cache = Cache.open(tmp_path / "cache")
    (store,) = cache.stores()
    registry = build_registry([])
    catalogue: Any = registry.tasks
    for task in tasks:
        catalogue.add(task.name, task, "a test")
    catalogue = registry.encoders
    for number in range(N_ENCODERS):
        identity = store.spec.encoder.model_copy(update={"weights_sha256": f"{number:064x}"})
        spec = store.spec.model_copy(update={"encoder": identity})
        noise = cache.store(spec)
        for key in sorted(store.keys()):
            clip = store.read(key)
            vector = np.random.default_rng([number, int(key[:8], 16)]).normal(size=clip.embeddings.shape[1])
            embeddings = np.where(np.isnan(clip.embeddings), np.nan, vector).astype(np.float16)
            noise.write(key, replace(clip, embeddings=embeddings))

        def opened(_request: EncoderRequest, name: str = f"noise-{number}", spec: Any = spec) -> Encoder:
            return Noise(name, spec)

        catalogue.add(f"noise-{number}", EncoderSpec(f"noise-{number}", "made up", "none", opened), "a test")
    monkeypatch.setattr("lusfx.studies.run.load_registry", lambda: registry)

    config = {
        "train": str(labels),
        "tasks": [{"task": name} for name in QUESTIONS],
        "encoders": [{"name": f"noise-{number}", "encoder": f"noise-{number}"} for number in range(N_ENCODERS)],
        "ways": [{"name": "trees", "kind": "head", "head": "lightgbm", "settings": TREES}],
        "baseline": {"encoder": "noise-0", "way": "trees"},
        "choice": {"folds": 2},
        "fractions": [1.0],
        "folds": 4,
        "repeats": 1,
        "resamples": 60,
    }
    result = study(config, tmp_path / "out", cache=tmp_path / "cache", site_key=SiteKey(bytes(range(32))))
    (chosen,) = (row for row in result.rows if (row.encoder, row.task, row.test_set) == (CHOSEN, MEAN, LOCAL))
    assert abs(chosen.auc.value - 0.5) < 0.1
    assert chosen.auc.low < 0.5 < chosen.auc.high
    assert all(cost.best_auc > 0.55 for cost in result.costs)
    by_task = next(cost for cost in result.costs if (cost.task, cost.best_encoder) == (MEAN, BY_TASK))
    assert by_task.best_auc > 0.6
    assert by_task.optimism.value > 0.05
    assert by_task.optimism.low > 0
