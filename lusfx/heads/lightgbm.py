"""The LightGBM head: boosted trees, served by LightGBM on one thread from trees that were checked first."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lusfx.contracts import Features, Head, HeadSettings, HeadSpec, TrainingSet
from lusfx.errors import TaskModelError, TrainingRefusedError
from lusfx.heads.forest import MAX_ALL_LEAVES, MAX_TEXT_BYTES, Forest
from lusfx.heads.head_file import content_of
from lusfx.heads.inputs import training_vectors, vectors_of
from lusfx.heads.row_weights import ClassWeight, row_weights

if TYPE_CHECKING:
    from lightgbm import Booster

FOREST_FILE = "head.lightgbm.txt"
RARER_ROWS_A_LEAF = 4
"""A leaf needs no more rows than one in so many of the rarer class, so that a tree can set that class apart."""


class LightGbmSettings(HeadSettings):
    """Settings of the LightGBM head; each is LightGBM's parameter of that name. Defaults suit some hundred clips.

    :param rounds: trees; their number is fixed, so that no patient is held out.
    :param learning_rate: part of each tree that is added.
    :param num_leaves: leaves of a tree.
    :param min_data_in_leaf: training rows that a leaf must have, or a quarter of the rarer class's rows where those are fewer:
        no split would else be left on a small table. It counts rows, whatever their weights.
    :param feature_fraction: part of the features that each tree may use; features of one encoder are highly redundant.
    :param lambda_l2: shrinks leaf values.
    :param class_weight: ``balanced`` weighs the classes alike, however rare one is; probabilities then no longer
        reflect how common the finding was.
    """

    rounds: int = Field(default=100, ge=1, le=10_000)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    num_leaves: int = Field(default=7, ge=2, le=1024)
    min_data_in_leaf: int = Field(default=10, ge=1, le=1_000_000)
    feature_fraction: float = Field(default=0.1, gt=0, le=1)
    lambda_l2: float = Field(default=10.0, ge=0, le=1e6)
    class_weight: ClassWeight = "none"


class LightGbmHead(Head):
    """Boosted trees.

    :param forest: the checked trees; LightGBM is imported when the first row is scored.
    """

    def __init__(self, forest: Forest) -> None:
        self._forest = forest

    @cached_property
    def _booster(self) -> Booster:
        from lightgbm import Booster

        return Booster(model_str=self._forest.text())

    def predict_proba(self, features: Features) -> NDArray[np.float64]:
        """See :meth:`lusfx.contracts.Head.predict_proba`."""
        vectors = vectors_of(features, self._forest.n_features)
        if not len(vectors):  # LightGBM refuses to predict nothing
            return np.empty((0, 2))
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        of_class_1 = np.asarray(self._booster.predict(rows, num_threads=1), dtype=np.float64)
        return np.stack([1 - of_class_1, of_class_1], axis=1)

    def files(self) -> Mapping[str, bytes]:
        """``head.lightgbm.txt``."""
        return {FOREST_FILE: self._forest.text().encode("ascii")}


class LightGbmHeadSpec(HeadSpec):
    """Gradient-boosted trees (Ke et al. 2017)."""

    name = "lightgbm"
    summary = "gradient-boosted trees (LightGBM)"
    settings = LightGbmSettings
    search = ({"num_leaves": 15}, {"rounds": 200}, {"feature_fraction": 0.3})

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> LightGbmHead:
        """Train on one thread, which also makes the result independent of the machine's number of cores.

        :raises TrainingRefusedError: if the rows cannot be learnt from.
        """
        import lightgbm

        chosen = LightGbmSettings.model_validate(settings.model_dump())
        features = training_vectors(training)
        # Our own weights and not LightGBM's is_unbalance, which counts rows whatever they weigh.
        weights = row_weights(training.targets, training.weights, chosen.class_weight)
        n_rarer = int(np.bincount(training.targets, minlength=2).min())
        least_rows = min(chosen.min_data_in_leaf, max(n_rarer // RARER_ROWS_A_LEAF, 1))
        most_leaves = chosen.rounds * min(chosen.num_leaves, max(len(features) // least_rows, 1))
        if most_leaves > MAX_ALL_LEAVES:
            raise TrainingRefusedError(
                f"{chosen.rounds} trees may have {most_leaves} leaves, and a model has at most {MAX_ALL_LEAVES}. Set fewer "
                "rounds or num_leaves, or a larger min_data_in_leaf"
            )
        parameters = {
            "objective": "binary",
            "learning_rate": chosen.learning_rate,
            "num_leaves": chosen.num_leaves,
            "min_data_in_leaf": least_rows,
            "feature_fraction": chosen.feature_fraction,
            "lambda_l2": chosen.lambda_l2,
            "seed": seed % (1 << 31),
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "use_missing": False,
            "verbosity": -1,
        }
        rows = lightgbm.Dataset(np.ascontiguousarray(features, dtype=np.float32), training.targets, weight=weights)
        booster = lightgbm.train(parameters, rows, chosen.rounds)
        return LightGbmHead(Forest.of_trained(booster.model_to_string()))

    def load(self, files: Mapping[str, bytes]) -> LightGbmHead:
        """Read ``head.lightgbm.txt`` and check the trees; LightGBM is not even imported.

        :raises TaskModelError: if it is missing, altered or invalid.
        """
        try:
            text = content_of(files, FOREST_FILE, MAX_TEXT_BYTES).decode("ascii")
        except UnicodeDecodeError:
            raise TaskModelError(f"{FOREST_FILE} is not a LightGBM model: it is not ASCII text") from None
        return LightGbmHead(Forest.parse(text))
