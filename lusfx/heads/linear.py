"""The logistic head: log odds linear in the standardised features."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lusfx.contracts import Features, Head, HeadSettings, HeadSpec, TrainingSet
from lusfx.errors import TrainingRefusedError
from lusfx.heads.head_file import TENSOR_FILE, read_tensors, tensor_file
from lusfx.heads.inputs import training_vectors, vectors_of
from lusfx.heads.one_thread import one_thread
from lusfx.heads.row_weights import ClassWeight, row_weights
from lusfx.heads.standardiser import Standardiser, in_blocks, two_class_probabilities
from lusfx.tensors import require_shapes

LAYOUT = "logistic/1"
DIMENSIONS = {"mean": 1, "inverse_std": 1, "weight": 1, "bias": 1}
MAX_ITERATIONS = 10_000


class LogisticSettings(HeadSettings):
    """Settings of the logistic head.

    :param logit_variance: variance of the log odds before any label is seen. With independent standardised features and
        weights of variance C it is C times their number, so that one value suits encoders of any width: scikit-learn's
        ``C`` is this over the number of features. Smaller shrinks harder.
    :param class_weight: ``balanced`` weighs the classes alike, however rare one is; probabilities then no longer
        reflect how common the finding was.
    """

    logit_variance: float = Field(default=2.0, gt=0, le=1e6, allow_inf_nan=False)
    class_weight: ClassWeight = "none"


class LogisticHead(Head):
    """Served as one matrix product.

    :param standardiser: fitted on the training rows.
    :param weight: ``(n_features,)``, for standardised features.
    :param bias: ``(1,)``, log odds at the training rows' mean.
    """

    def __init__(self, standardiser: Standardiser, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
        self._standardiser = standardiser
        self._weight = weight
        self._bias = bias
        self._slopes, self._intercept = standardiser.folded_into(weight, bias)

    def predict_proba(self, features: Features) -> NDArray[np.float64]:
        """See :meth:`lusfx.contracts.Head.predict_proba`."""
        rows = vectors_of(features, self._standardiser.n_features)
        return two_class_probabilities(in_blocks(self._logits, rows))

    def _logits(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        return rows.astype(np.float64) @ self._slopes + self._intercept

    def files(self) -> Mapping[str, bytes]:
        """``head.safetensors``."""
        scales = {"mean": self._standardiser.mean, "inverse_std": self._standardiser.inverse_std}
        return tensor_file(LAYOUT, scales | {"weight": self._weight, "bias": self._bias})


class LogisticHeadSpec(HeadSpec):
    """Logistic regression with an L2 penalty (scikit-learn)."""

    name = "logistic"
    summary = "logistic regression with an L2 penalty"
    settings = LogisticSettings
    search = ({"logit_variance": 0.5}, {"logit_variance": 8.0})

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> LogisticHead:
        """Fit; the seed changes nothing, because the solution is unique.

        :raises TrainingRefusedError: if the rows cannot be learnt from, or the solver does not converge.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        chosen = LogisticSettings.model_validate(settings.model_dump())
        features = training_vectors(training)
        standardiser = Standardiser.of(features, training.weights)
        weights = row_weights(training.targets, training.weights, chosen.class_weight)
        model = LogisticRegression(C=chosen.logit_variance / features.shape[1], max_iter=MAX_ITERATIONS)
        with warnings.catch_warnings(), one_thread():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                model.fit(standardiser(features), training.targets, sample_weight=weights)
            except ConvergenceWarning:
                raise TrainingRefusedError(
                    f"the logistic head did not converge in {MAX_ITERATIONS} steps. Set a smaller logit_variance."
                ) from None
        weight = np.asarray(model.coef_[0], dtype=np.float64)
        return LogisticHead(standardiser, weight, np.asarray(model.intercept_, dtype=np.float64))

    def load(self, files: Mapping[str, bytes]) -> LogisticHead:
        """Read ``head.safetensors``."""
        tensors = read_tensors(files, LAYOUT, DIMENSIONS)
        n_features = len(tensors["weight"])
        require_shapes(tensors, {"mean": (n_features,), "inverse_std": (n_features,), "bias": (1,)}, TENSOR_FILE)
        return LogisticHead(Standardiser(tensors["mean"], tensors["inverse_std"]), tensors["weight"], tensors["bias"])
