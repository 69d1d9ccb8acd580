"""The MLP head: hidden layers trained by torch with early stopping on held-out patients, served by numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PlainSerializer

from lusfx.contracts import Features, Head, HeadSettings, HeadSpec, TrainingSet
from lusfx.heads.head_file import TENSOR_FILE, number_of_tensors, read_tensors, tensor_file
from lusfx.heads.inputs import training_vectors, vectors_of
from lusfx.heads.patients import held_out_patients
from lusfx.heads.standardiser import Standardiser, in_blocks, two_class_probabilities
from lusfx.heads.torch_settings import TorchSettings, require_torch
from lusfx.tensors import require_shapes

LAYOUT = "mlp/2"
MAX_LAYERS = 8
MAX_UNITS = 1024


def _as_sizes(value: Any) -> Any:
    if isinstance(value, str):
        return value.split(",")
    return (value,) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_text(sizes: tuple[int, ...]) -> str:
    return ",".join(map(str, sizes))


LayerSizes = Annotated[
    tuple[Annotated[int, Field(ge=1, le=MAX_UNITS)], ...],
    Field(min_length=1, max_length=MAX_LAYERS),
    BeforeValidator(_as_sizes),
    PlainSerializer(_as_text, return_type=str, when_used="json"),  # as it is written after --set, and in a task model
]


class MlpSettings(TorchSettings):
    """Settings of the MLP head, beside those of :class:`~lusfx.heads.torch_settings.TorchSettings`.

    :param hidden: units of each hidden layer, from the features on: a number, several, or text such as ``64,32``. One
        layer of 32 is as in the compact heads of the lung-ultrasound literature.
    """

    hidden: LayerSizes = (32,)


class MlpHead(Head):
    """Served as one matrix product a layer.

    :param standardiser: fitted on the rows that were not held out.
    :param layers: weight ``(n_inputs, n_units)`` and bias ``(n_units,)`` of each hidden layer.
    :param output_weight: ``(n_units of the last layer,)``.
    :param output_bias: ``(1,)``.
    """

    def __init__(
        self,
        standardiser: Standardiser,
        layers: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
        output_weight: NDArray[np.float64],
        output_bias: NDArray[np.float64],
    ) -> None:
        self._standardiser = standardiser
        self._layers = layers
        self._output_weight = output_weight
        self._output_bias = output_bias
        self._served = [standardiser.folded_into(*layers[0]), *layers[1:]]

    def predict_proba(self, features: Features) -> NDArray[np.float64]:
        """See :meth:`lusfx.contracts.Head.predict_proba`."""
        rows = vectors_of(features, self._standardiser.n_features)
        return two_class_probabilities(in_blocks(self._logits, rows))

    def _logits(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        activations = rows.astype(np.float64)
        for weight, bias in self._served:
            activations = np.maximum(activations @ weight + bias, 0)
        return activations @ self._output_weight + self._output_bias

    def files(self) -> Mapping[str, bytes]:
        """``head.safetensors``."""
        tensors = {"mean": self._standardiser.mean, "inverse_std": self._standardiser.inverse_std}
        for number, (weight, bias) in enumerate(self._layers):
            tensors |= {f"weight_{number}": weight, f"bias_{number}": bias}
        return tensor_file(LAYOUT, tensors | {"output_weight": self._output_weight, "output_bias": self._output_bias})


class MlpHeadSpec(HeadSpec):
    """Layers of rectified units, each followed by dropout."""

    name = "mlp"
    summary = "hidden layers, early stopping on held-out patients (trains with torch)"
    settings = MlpSettings
    search = ({"hidden": (64,)}, {"dropout": 0.3}, {"activation_variance": 1.0})

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> MlpHead:
        """Train on one CPU thread, where the same input and seed give the same head.

        :raises MissingExtraError: without torch.
        :raises TrainingRefusedError: if the rows cannot be learnt from, or a class has fewer than two patients, so that
            none could be held out.
        """
        require_torch("training an MLP head")
        from lusfx.heads.torch_networks import mlp, row_inputs
        from lusfx.heads.torch_training import Part, train

        chosen = MlpSettings.model_validate(settings.model_dump())
        features = training_vectors(training)
        held_out = held_out_patients(training, chosen.hold_out_one_in, seed)
        rows = features[~held_out]
        standardiser = Standardiser.of(rows, None if training.weights is None else training.weights[~held_out])
        learn = Part.of(row_inputs(standardiser.to_float32(rows)), training, ~held_out, chosen.class_weight)
        held_out_rows = standardiser.to_float32(features[held_out])
        stop = Part.of(row_inputs(held_out_rows), training, held_out, chosen.class_weight)
        network = train(lambda: mlp(rows.shape[1], chosen.hidden, chosen.dropout), learn, stop, chosen, seed)
        numbers = range(len(chosen.hidden))
        layers = [(network.array(f"hidden_{n}", "weight"), network.array(f"hidden_{n}", "bias")) for n in numbers]
        return MlpHead(standardiser, layers, network.array("output", "weight")[:, 0], network.array("output", "bias"))

    def load(self, files: Mapping[str, bytes]) -> MlpHead:
        """Read ``head.safetensors``; the number of its arrays says how many hidden layers there are, at most 8.

        :raises TaskModelError: if it is missing, altered or invalid.
        """
        n_layers = min(max(number_of_tensors(files) // 2 - 2, 1), MAX_LAYERS)
        numbers = range(n_layers)
        dimensions = {"mean": 1, "inverse_std": 1, "output_weight": 1, "output_bias": 1}
        dimensions |= {f"weight_{number}": 2 for number in numbers} | {f"bias_{number}": 1 for number in numbers}
        tensors = read_tensors(files, LAYOUT, dimensions)
        n_features = len(tensors["mean"])
        units = [len(tensors[f"bias_{number}"]) for number in numbers]
        shapes: dict[str, tuple[int, ...]] = {"inverse_std": (n_features,)}
        for number, n_inputs in enumerate([n_features, *units[:-1]]):
            shapes[f"weight_{number}"] = (n_inputs, units[number])
        shapes |= {"output_weight": (units[-1],), "output_bias": (1,)}
        require_shapes(tensors, shapes, TENSOR_FILE)
        return MlpHead(
            Standardiser(tensors["mean"], tensors["inverse_std"]),
            [(tensors[f"weight_{number}"], tensors[f"bias_{number}"]) for number in numbers],
            tensors["output_weight"],
            tensors["output_bias"],
        )
