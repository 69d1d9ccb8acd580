"""The attention head: it learns which rows of a bag to look at. Trained by torch, served by numpy.

Gated attention pooling (Ilse, Tomczak and Welling 2018, "Attention-based Deep Multiple Instance Learning",
arXiv 1802.04712, equation 9).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lusfx.contracts import Bags, Features, Head, HeadSettings, HeadSpec, TrainingSet
from lusfx.heads.head_file import TENSOR_FILE, read_tensors, tensor_file
from lusfx.heads.inputs import bags_of, training_bags
from lusfx.heads.patients import held_out_patients
from lusfx.heads.standardiser import Standardiser, in_blocks, two_class_probabilities
from lusfx.heads.torch_settings import TorchSettings, require_torch
from lusfx.tensors import require_shapes

LAYOUT = "attention/1"
DIMENSIONS = {
    "mean": 1,
    "inverse_std": 1,
    "projection_weight": 2,
    "projection_bias": 1,
    "tanh_weight": 2,
    "tanh_bias": 1,
    "gate_weight": 2,
    "gate_bias": 1,
    "score_weight": 1,
    "output_weight": 1,
    "output_bias": 1,
}


class AttentionSettings(TorchSettings):
    """Settings of the attention head, beside those of :class:`~lusfx.heads.torch_settings.TorchSettings`.

    :param hidden: rectified units that each row is projected to.
    :param attention: units of each of the two branches that say how much a row counts in its bag.
    """

    hidden: int = Field(default=32, ge=1, le=1024)
    attention: int = Field(default=16, ge=1, le=1024)


class AttentionHead(Head):
    """Each row has a score and a claim about the log odds; a bag's are the claims' mean, weighted by the scores' softmax.

    That is the weighted mean of the hidden units followed by the output layer, which is linear, so that the two may be
    exchanged: two numbers a row are then all that is kept, however large a bag is.

    :param standardiser: fitted on the bags that were not held out.
    :param tensors: ``projection_weight (n_features, hidden)``, ``projection_bias (hidden,)``,
        ``tanh_weight (hidden, attention)``, ``tanh_bias (attention,)``, ``gate_weight (hidden, attention)``,
        ``gate_bias (attention,)``, ``score_weight (attention,)``, ``output_weight (hidden,)``, ``output_bias (1,)``.
    """

    def __init__(self, standardiser: Standardiser, tensors: Mapping[str, NDArray[np.float64]]) -> None:
        self._standardiser = standardiser
        self._tensors = tensors

    def predict_proba(self, features: Features) -> NDArray[np.float64]:
        """See :meth:`lusfx.contracts.Head.predict_proba`."""
        bags = bags_of(features, self._standardiser.n_features)
        if not len(bags):
            return np.empty((0, 2))
        scores, claims = in_blocks(self._scores_and_claims, bags.rows).T
        logits = np.add.reduceat(_softmax(scores, bags) * claims, bags.starts[:-1])
        return two_class_probabilities(logits + self._tensors["output_bias"])

    def attention_weights(self, bag: NDArray[np.floating]) -> NDArray[np.float64]:
        """How much each row counts in the answer for a bag: ``(n_rows,)``, above 0, of sum 1.

        :param bag: ``(n_rows, n_features)``, n_rows >= 1.
        :raises TaskModelError: if it has another shape.
        """
        bags = bags_of(Bags(bag, np.array([0, len(bag)])), self._standardiser.n_features)
        return _softmax(in_blocks(self._scores_and_claims, bags.rows)[:, 0], bags)

    def _scores_and_claims(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        part = self._tensors
        hidden = np.maximum(self._standardiser(rows) @ part["projection_weight"] + part["projection_bias"], 0)
        branch = np.tanh(hidden @ part["tanh_weight"] + part["tanh_bias"])
        gate = 0.5 + 0.5 * np.tanh(0.5 * (hidden @ part["gate_weight"] + part["gate_bias"]))  # the logistic function
        return np.stack([(branch * gate) @ part["score_weight"], hidden @ part["output_weight"]], axis=1)

    def files(self) -> Mapping[str, bytes]:
        """``head.safetensors``."""
        scales = {"mean": self._standardiser.mean, "inverse_std": self._standardiser.inverse_std}
        return tensor_file(LAYOUT, scales | dict(self._tensors))


class AttentionHeadSpec(HeadSpec):
    """Gated attention pooling (Ilse, Tomczak and Welling 2018)."""

    name = "attention"
    summary = "weighs the frames itself by gated attention (trains with torch)"
    settings = AttentionSettings
    takes = "bags"
    search = ({"dropout": 0.3}, {"activation_variance": 1.0})

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> AttentionHead:
        """Train on one CPU thread, where the same input and seed give the same head.

        :raises MissingExtraError: without torch.
        :raises TrainingRefusedError: if the bags cannot be learnt from, or a class has fewer than two patients, so that
            none could be held out.
        """
        require_torch("training an attention head")
        from lusfx.heads.torch_networks import bag_inputs, gated_attention
        from lusfx.heads.torch_training import Part, train

        chosen = AttentionSettings.model_validate(settings.model_dump())
        bags = training_bags(training)
        held_out = held_out_patients(training, chosen.hold_out_one_in, seed)
        learnt_from = bags.take(np.flatnonzero(~held_out))
        weights = np.ones(len(learnt_from)) if training.weights is None else training.weights[~held_out]
        # A bag's weight is shared by its rows, so that long bags do not set the scale.
        shares = np.repeat(weights / learnt_from.sizes, learnt_from.sizes)
        standardiser = Standardiser.of(learnt_from.rows, shares)
        inputs = bag_inputs(_standardised(learnt_from, standardiser))
        learn = Part.of(inputs, training, ~held_out, chosen.class_weight)
        held_out_bags = _standardised(bags.take(np.flatnonzero(held_out)), standardiser)
        stop = Part.of(bag_inputs(held_out_bags), training, held_out, chosen.class_weight)
        network = train(
            lambda: gated_attention(bags.rows.shape[1], chosen.hidden, chosen.attention, chosen.dropout),
            learn,
            stop,
            chosen,
            seed,
        )
        tensors = {
            f"{layer}_{parameter}": network.array(layer, parameter)
            for layer in ("projection", "tanh", "gate", "output")
            for parameter in ("weight", "bias")
        }
        tensors["output_weight"] = tensors["output_weight"][:, 0]
        return AttentionHead(standardiser, tensors | {"score_weight": network.array("score", "weight")[:, 0]})

    def load(self, files: Mapping[str, bytes]) -> AttentionHead:
        """Read ``head.safetensors``.

        :raises TaskModelError: if it is missing, altered or invalid.
        """
        tensors = read_tensors(files, LAYOUT, DIMENSIONS)
        (n_features,), (hidden,), (attention,) = (
            tensors[name].shape for name in ("mean", "projection_bias", "score_weight")
        )
        shapes: dict[str, tuple[int, ...]] = {"inverse_std": (n_features,), "projection_weight": (n_features, hidden)}
        for branch in ("tanh", "gate"):
            shapes |= {f"{branch}_weight": (hidden, attention), f"{branch}_bias": (attention,)}
        shapes |= {"output_weight": (hidden,), "output_bias": (1,)}
        require_shapes(tensors, shapes, TENSOR_FILE)
        return AttentionHead(Standardiser(tensors.pop("mean"), tensors.pop("inverse_std")), tensors)


def _softmax(scores: NDArray[np.float64], bags: Bags) -> NDArray[np.float64]:
    """Softmax of the rows' scores ``(n_rows,)`` within each bag; the largest is taken off first, so nothing overflows."""
    begins, sizes = bags.starts[:-1], bags.sizes
    relative = np.exp(scores - np.repeat(np.maximum.reduceat(scores, begins), sizes))
    weights: NDArray[np.float64] = relative / np.repeat(np.add.reduceat(relative, begins), sizes)
    return weights


def _standardised(bags: Bags, standardiser: Standardiser) -> Bags:
    return Bags(standardiser.to_float32(bags.rows), bags.starts)
