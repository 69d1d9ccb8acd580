"""Rows to train on and to score, the product's heads, and the rivals."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import Bags, Head, HeadSpec, TrainingSet
from lusfx.heads.lightgbm import LightGbmHeadSpec, LightGbmSettings
from lusfx.heads.linear import LogisticHeadSpec, LogisticSettings
from lusfx.heads.mlp import MlpHeadSpec, MlpSettings

SPECS: Mapping[str, HeadSpec] = {"logistic": LogisticHeadSpec(), "mlp": MlpHeadSpec(), "lightgbm": LightGbmHeadSpec()}
RIVALS: Mapping[str, str] = {
    "logistic": "scikit-learn's StandardScaler and LogisticRegression in a Pipeline",
    "mlp": "scikit-learn's StandardScaler and MLPClassifier with as many units in a Pipeline",
    "lightgbm": "LightGBM's LGBMClassifier with the same parameters",
}
HIDDEN = MlpSettings().members * MlpSettings().hidden
CAUSES = 40
"""What features vary with: those of an encoder are far fewer than they look."""
CLIPS_A_PATIENT = 5
Rows = NDArray[np.float32]
Predict = Callable[[Rows], NDArray[np.float64]]


def draw(n_rows: int, n_features: int, seed: int = 0) -> TrainingSet:
    """Features of few causes with noise, rectified as a network's are, and a class that depends on two causes."""
    generator = np.random.default_rng(seed)
    causes = generator.normal(size=(n_rows, CAUSES)).astype(np.float32)
    mixing = np.random.default_rng(1).normal(size=(CAUSES, n_features)).astype(np.float32) / np.float32(CAUSES**0.5)
    noise = generator.normal(scale=0.5, size=(n_rows, n_features)).astype(np.float32)
    features = np.maximum(causes @ mixing + noise, 0)
    targets = (causes[:, 0] + np.abs(causes[:, 1]) + generator.normal(size=n_rows) > 1).astype(np.int64)
    patients = np.array([f"patient-{number}" for number in range(-(-n_rows // CLIPS_A_PATIENT))])
    return TrainingSet(features, targets, np.repeat(patients, CLIPS_A_PATIENT)[:n_rows])


def features_of(training: TrainingSet) -> Rows:
    """Features, which are vectors here, ``(n, n_features)``."""
    assert not isinstance(training.features, Bags)
    return training.features


def train(kind: str, training: TrainingSet) -> Head:
    """A head of the product with its default settings."""
    spec = SPECS[kind]
    return spec.fit(training, spec.settings(), 0)


def train_rival(kind: str, training: TrainingSet) -> Predict:
    """A rival's ``predict_proba``, trained on the same rows."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model: Any
    if kind == "lightgbm":
        model = _lightgbm_classifier()
    elif kind == "mlp":
        model = make_pipeline(StandardScaler(), MLPClassifier((HIDDEN,), max_iter=5, random_state=0))
    else:
        c = LogisticSettings().logit_variance / features_of(training).shape[1]
        model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few passes are enough to be timed, and scikit-learn says that they are few
        model.fit(training.features, training.targets)
    predict: Predict = model.predict_proba
    return predict


def _lightgbm_classifier() -> Any:
    from lightgbm import LGBMClassifier

    settings = LightGbmSettings()
    return LGBMClassifier(
        n_estimators=settings.rounds,
        learning_rate=settings.learning_rate,
        num_leaves=settings.num_leaves,
        min_child_samples=settings.min_data_in_leaf,
        colsample_bytree=settings.feature_fraction,
        reg_lambda=settings.lambda_l2,
        n_jobs=1,
        verbosity=-1,
    )
