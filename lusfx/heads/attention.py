"""The attention head: it learns which rows of a bag to look at.

Gated attention pooling (Ilse, Tomczak and Welling 2018, "Attention-based Deep Multiple Instance Learning",
arXiv 1802.04712, equation 9).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lusfx.contracts import Bags, Features, Head, HeadSettings, HeadSpec, TrainingSet
from lusfx.heads.gated_attention import Sizes, Variances, fitted, row_answers, rows_weight, softmax
from lusfx.heads.head_file import TENSOR_FILE, read_tensors, tensor_file
from lusfx.heads.inputs import bags_of, training_bags
from lusfx.heads.row_weights import ClassWeight, row_weights
from lusfx.heads.standardiser import Standardiser, in_blocks, two_class_probabilities
from lusfx.tensors import require_shapes

LAYOUT = "attention/2"
DIMENSIONS = {"mean": 1, "inverse_std": 1} | {name: len(shape) for name, shape in Sizes(1, 1, 1, 1).shapes.items()}


class AttentionSettings(HeadSettings):
    """Settings of the attention head.

    :param members: networks, each begun with random weights of its own; the answer is the mean of their log odds.
    :param hidden: rectified units that each network projects a row to.
    :param attention: units of each of the two branches that say how much a row counts in its bag.
    :param linear_logit_variance: variance of the linear part of the log odds before any label is seen, as in the logistic
        head. Smaller shrinks harder.
    :param hidden_logit_variance: likewise, of the hidden units' part, for units of variance 1. Much smaller leaves logistic
        regression on mean-pooled rows.
    :param activation_variance: variance of a unit's input before any label is seen, for independent inputs of variance 1
        such as standardised features: weights have an L2 penalty that stands for a normal prior of this variance over the
        number of the layer's inputs, so that one value suits encoders of any width.
    :param class_weight: ``balanced`` weighs the classes alike, however rare one is; probabilities then no longer
        reflect how common the finding was.
    """

    members: int = Field(default=4, ge=1, le=64)
    hidden: int = Field(default=8, ge=1, le=1024)
    attention: int = Field(default=4, ge=1, le=1024)
    linear_logit_variance: float = Field(default=2.0, gt=0, le=1e6, allow_inf_nan=False)
    hidden_logit_variance: float = Field(default=0.5, gt=0, le=1e6, allow_inf_nan=False)
    activation_variance: float = Field(default=3.0, gt=0, le=1e6, allow_inf_nan=False)
    class_weight: ClassWeight = "none"


class AttentionHead(Head):
    """Each row has a score and a claim about the log odds; a bag's are the claims' mean, weighted by the scores' softmax.

    That is the weighted mean of the hidden units followed by the output layer, which is linear, so that the two may be
    exchanged: two numbers a row and network are then all that is kept, however large a bag is.

    :param standardiser: fitted on the training bags.
    :param tensors: the arrays of all networks, shaped as :attr:`lusfx.heads.gated_attention.Sizes.shapes` says.
    """

    def __init__(self, standardiser: Standardiser, tensors: Mapping[str, NDArray[np.float64]]) -> None:
        self._standardiser = standardiser
        self._tensors = tensors
        # In one order in memory, because sums depend on it: a loaded head gives what the trained one gave, to the last bit.
        self._rows_weight = np.ascontiguousarray(rows_weight(tensors))

    def predict_proba(self, features: Features) -> NDArray[np.float64]:
        """See :meth:`lusfx.contracts.Head.predict_proba`."""
        bags = bags_of(features, self._standardiser.n_features)
        if not len(bags):
            return np.empty((0, 2))
        scores, claims = self._scores_and_claims(bags)
        logits = np.add.reduceat(softmax(scores, bags) * claims, bags.starts[:-1])
        return two_class_probabilities(logits.mean(axis=1))

    def attention_weights(self, bag: NDArray[np.floating]) -> NDArray[np.float64]:
        """How much each row counts in the answer for a bag: ``(n_rows,)``, above 0, of sum 1; the mean over the networks.

        :param bag: ``(n_rows, n_features)``, n_rows >= 1.
        :raises TaskModelError: if it has another shape.
        """
        bags = bags_of(Bags(bag, np.array([0, len(bag)])), self._standardiser.n_features)
        weights: NDArray[np.float64] = softmax(self._scores_and_claims(bags)[0], bags).mean(axis=1)
        return weights

    def _scores_and_claims(self, bags: Bags) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each row by each network, ``(n_rows, members)``."""

        def of_block(rows: NDArray[np.floating]) -> NDArray[np.float64]:
            answers = row_answers(self._standardiser(rows) @ self._rows_weight, self._tensors)
            return np.stack([answers.scores, answers.claims])

        both = in_blocks(lambda rows: of_block(rows).transpose(1, 0, 2), bags.rows)
        return both[:, 0], both[:, 1]

    def files(self) -> Mapping[str, bytes]:
        """``head.safetensors``."""
        scales = {"mean": self._standardiser.mean, "inverse_std": self._standardiser.inverse_std}
        return tensor_file(LAYOUT, scales | dict(self._tensors))


class AttentionHeadSpec(HeadSpec):
    """Gated attention pooling (Ilse, Tomczak and Welling 2018)."""

    name = "attention"
    summary = "weighs the frames itself by gated attention"
    settings = AttentionSettings
    takes = "bags"
    search = ({"linear_logit_variance": 0.5}, {"hidden_logit_variance": 2.0})

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> AttentionHead:
        """Train on one thread, where the same input and seed give the same head.

        :raises TrainingRefusedError: if the bags cannot be learnt from.
        """
        chosen = AttentionSettings.model_validate(settings.model_dump())
        bags = training_bags(training)
        weights = np.ones(len(bags)) if training.weights is None else training.weights
        # A bag's weight is shared by its rows, so that long bags do not set the scale.
        standardiser = Standardiser.of(bags.rows, np.repeat(weights / bags.sizes, bags.sizes))
        tensors = fitted(
            Bags(standardiser.to_float32(bags.rows), bags.starts),
            training.targets,
            row_weights(training.targets, training.weights, chosen.class_weight),
            Sizes(chosen.members, standardiser.n_features, chosen.hidden, chosen.attention),
            Variances(chosen.linear_logit_variance, chosen.hidden_logit_variance, chosen.activation_variance),
            seed,
        )
        return AttentionHead(standardiser, tensors)

    def load(self, files: Mapping[str, bytes]) -> AttentionHead:
        """Read ``head.safetensors``.

        :raises TaskModelError: if it is missing, altered, invalid or of an earlier layout.
        """
        tensors = read_tensors(files, LAYOUT, DIMENSIONS)
        n_features = len(tensors["mean"])
        members, hidden, attention = tensors["tanh_weight"].shape
        shapes = {"mean": (n_features,), "inverse_std": (n_features,)}
        require_shapes(tensors, shapes | Sizes(members, n_features, hidden, attention).shapes, TENSOR_FILE)
        return AttentionHead(Standardiser(tensors.pop("mean"), tensors.pop("inverse_std")), tensors)
