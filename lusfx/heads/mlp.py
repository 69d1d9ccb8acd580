"""The MLP head: log odds that are linear in the features, and what a layer of rectified units adds to them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lusfx.contracts import Features, Head, HeadSettings, HeadSpec, TrainingSet
from lusfx.heads.head_file import TENSOR_FILE, read_tensors, tensor_file
from lusfx.heads.inputs import training_vectors, vectors_of
from lusfx.heads.penalised_network import Prior, Weights, fit_network
from lusfx.heads.row_weights import ClassWeight, row_weights
from lusfx.heads.standardiser import Standardiser, in_blocks, two_class_probabilities
from lusfx.tensors import require_shapes

LAYOUT = "mlp/3"
DIMENSIONS = {
    "mean": 1,
    "inverse_std": 1,
    "linear_weight": 1,
    "hidden_weight": 2,
    "hidden_bias": 1,
    "output_weight": 1,
    "bias": 1,
}


class MlpSettings(HeadSettings):
    """Settings of the MLP head.

    :param hidden: rectified units of each member.
    :param members: networks whose log odds are averaged; they begin at other random weights. They are served as one
        network of ``members * hidden`` units.
    :param linear_variance: of the part of the log odds that is linear, before any label is seen; the logistic head calls
        it ``logit_variance``.
    :param unit_variance: of what one hidden unit adds to the log odds. Smaller keeps nearer to the logistic head.
    :param max_steps: of L-BFGS at most.
    :param class_weight: ``balanced`` weighs the classes alike, however rare one is; probabilities then no longer
        reflect how common the finding was.
    """

    hidden: int = Field(default=4, ge=1, le=1024)
    members: int = Field(default=4, ge=1, le=64)
    linear_variance: float = Field(default=2.0, gt=0, le=1e6, allow_inf_nan=False)
    unit_variance: float = Field(default=0.06, gt=0, le=1e6, allow_inf_nan=False)
    max_steps: int = Field(default=100, ge=1, le=100_000)
    class_weight: ClassWeight = "none"


class MlpHead(Head):
    """Served as one matrix product.

    :param standardiser: fitted on the training rows.
    :param weights: of one member, for standardised features.
    """

    def __init__(self, standardiser: Standardiser, weights: Weights) -> None:
        self._standardiser = standardiser
        self._weights = weights
        # The linear part is one more column of the product.
        columns = np.concatenate([weights.hidden[:, 0], weights.linear], axis=1)
        self._served = standardiser.folded_into(columns, np.concatenate([weights.hidden_bias[0], weights.bias]))

    def predict_proba(self, features: Features) -> NDArray[np.float64]:
        """See :meth:`lusfx.contracts.Head.predict_proba`."""
        rows = vectors_of(features, self._standardiser.n_features)
        return two_class_probabilities(in_blocks(self._logits, rows))

    def _logits(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        columns, bias = self._served
        parts = rows.astype(np.float64) @ columns + bias
        logits: NDArray[np.float64] = np.maximum(parts[:, :-1], 0) @ self._weights.output[0] + parts[:, -1]
        return logits

    def files(self) -> Mapping[str, bytes]:
        """``head.safetensors``."""
        weights = self._weights
        tensors = {
            "mean": self._standardiser.mean,
            "inverse_std": self._standardiser.inverse_std,
            "linear_weight": weights.linear[:, 0],
            "hidden_weight": weights.hidden[:, 0],
            "hidden_bias": weights.hidden_bias[0],
            "output_weight": weights.output[0],
            "bias": weights.bias,
        }
        return tensor_file(LAYOUT, tensors)


class MlpHeadSpec(HeadSpec):
    """Small networks with a linear part each, averaged; see :mod:`lusfx.heads.penalised_network`."""

    name = "mlp"
    summary = "rectified units beside a linear part, four small networks served as one"
    settings = MlpSettings
    search = ({"unit_variance": 0.25}, {"linear_variance": 0.5}, {"linear_variance": 0.5, "unit_variance": 0.25})

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> MlpHead:
        """Fit on all rows: a penalty stands in place of stopping, so that no patient is held out.

        :raises TrainingRefusedError: if the rows cannot be learnt from.
        """
        chosen = MlpSettings.model_validate(settings.model_dump())
        features = training_vectors(training)
        standardiser = Standardiser.of(features, training.weights)
        weights = fit_network(
            standardiser.to_float32(features),
            training.targets,
            row_weights(training.targets, training.weights, chosen.class_weight),
            Prior(chosen.linear_variance, chosen.unit_variance),
            chosen.members,
            chosen.hidden,
            chosen.max_steps,
            np.random.default_rng(seed),
        )
        return MlpHead(standardiser, weights)

    def load(self, files: Mapping[str, bytes]) -> MlpHead:
        """Read ``head.safetensors``.

        :raises TaskModelError: if it is missing, altered, invalid or of an earlier layout.
        """
        tensors = read_tensors(files, LAYOUT, DIMENSIONS)
        n_features, n_units = len(tensors["mean"]), len(tensors["hidden_bias"])
        shapes: dict[str, tuple[int, ...]] = {
            "inverse_std": (n_features,),
            "linear_weight": (n_features,),
            "hidden_weight": (n_features, n_units),
            "output_weight": (n_units,),
            "bias": (1,),
        }
        require_shapes(tensors, shapes, TENSOR_FILE)
        weights = Weights(
            linear=tensors["linear_weight"][:, np.newaxis],
            hidden=tensors["hidden_weight"][:, np.newaxis],
            hidden_bias=tensors["hidden_bias"][np.newaxis],
            output=tensors["output_weight"][np.newaxis],
            bias=tensors["bias"],
        )
        return MlpHead(Standardiser(tensors["mean"], tensors["inverse_std"]), weights)
