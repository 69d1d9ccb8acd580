"""The LightGBM head: boosted trees, served by LightGBM on one thread from trees that were checked first."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lusfx.contracts import Head, HeadSettings, HeadSpec, TrainingSet
from lusfx.errors import TaskModelError
from lusfx.heads.forest import MAX_TEXT_BYTES, Forest
from lusfx.heads.patients import check_training
from lusfx.heads.standardiser import check_width

if TYPE_CHECKING:
    from lightgbm import Booster

FOREST_FILE = "head.lightgbm.txt"


class LightGbmSettings(HeadSettings):
    """Settings of the LightGBM head; each is LightGBM's parameter of that name. Defaults suit some hundred clips.

    :param rounds: trees; their number is fixed, so that no patient is held out.
    :param learning_rate: part of each tree that is added.
    :param num_leaves: leaves of a tree.
    :param min_data_in_leaf: training rows that a leaf must have.
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
    class_weight: Literal["none", "balanced"] = "none"


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

    def predict_proba(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """See :meth:`lusfx.contracts.Head.predict_proba`."""
        check_width(features, self._forest.n_features)
        if not len(features):  # LightGBM refuses to predict nothing
            return np.empty((0, 2))
        rows = np.ascontiguousarray(features, dtype=np.float32)
        of_class_1 = np.asarray(self._booster.predict(rows, num_threads=1), dtype=np.float64)
        return np.stack([1 - of_class_1, of_class_1], axis=1)

    def save(self, directory: Path) -> None:
        """Write ``head.lightgbm.txt``."""
        (directory / FOREST_FILE).write_bytes(self._forest.text().encode("ascii"))


class LightGbmHeadSpec(HeadSpec):
    """Gradient-boosted trees (Ke et al. 2017)."""

    name = "lightgbm"
    summary = "gradient-boosted trees (LightGBM)"
    settings = LightGbmSettings

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> LightGbmHead:
        """Train on one thread, which also makes the result independent of the machine's number of cores.

        :raises TrainingRefusedError: if the rows cannot be learnt from.
        """
        import lightgbm

        chosen = LightGbmSettings.model_validate(settings.model_dump())
        check_training(training)
        parameters = {
            "objective": "binary",
            "learning_rate": chosen.learning_rate,
            "num_leaves": chosen.num_leaves,
            "min_data_in_leaf": chosen.min_data_in_leaf,
            "feature_fraction": chosen.feature_fraction,
            "lambda_l2": chosen.lambda_l2,
            "is_unbalance": chosen.class_weight == "balanced",
            "seed": seed % (1 << 31),
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "use_missing": False,
            "verbosity": -1,
        }
        rows = lightgbm.Dataset(np.ascontiguousarray(training.features, dtype=np.float32), training.targets)
        booster = lightgbm.train(parameters, rows, chosen.rounds)
        return LightGbmHead(Forest.of_trained(booster.model_to_string()))

    def load(self, directory: Path) -> LightGbmHead:
        """Read ``head.lightgbm.txt`` and check the trees; LightGBM is not even imported.

        :raises TaskModelError: if it is missing, altered or invalid.
        """
        path = directory / FOREST_FILE
        try:
            if path.stat().st_size > MAX_TEXT_BYTES:
                raise TaskModelError(f"{FOREST_FILE} is larger than any head's ({path.stat().st_size} bytes)")
            text = path.read_bytes().decode("ascii")
        except FileNotFoundError:
            raise TaskModelError(f"{FOREST_FILE} is missing") from None
        except UnicodeDecodeError:
            raise TaskModelError(f"{FOREST_FILE} is not a LightGBM model: it is not ASCII text") from None
        except OSError as error:
            raise TaskModelError(f"{FOREST_FILE} cannot be read ({type(error).__name__})") from None
        return LightGbmHead(Forest.parse(text))
