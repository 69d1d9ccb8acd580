"""The MLP head: one hidden layer, trained by torch with early stopping on held-out patients, served by numpy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lusfx.contracts import Head, HeadSettings, HeadSpec, TrainingSet
from lusfx.errors import MissingExtraError
from lusfx.heads.patients import check_training, patient_folds, patients_of_rarer_class
from lusfx.heads.standardiser import Standardiser, in_blocks, two_class_probabilities
from lusfx.heads.tensors import read_tensors, require_shapes, write_tensors

if TYPE_CHECKING:
    import torch

LAYOUT = "mlp/1"
DIMENSIONS = {"mean": 1, "inverse_std": 1, "hidden_weight": 2, "hidden_bias": 1, "output_weight": 1, "output_bias": 1}


class MlpSettings(HeadSettings):
    """Settings of the MLP head.

    :param hidden: units of the hidden layer; 32 as in the compact heads of the lung-ultrasound literature.
    :param activation_variance: variance of a hidden unit's input before any label is seen, for independent standardised
        features: the weights have an L2 penalty that stands for a normal prior of this variance over their number, so
        that one value suits encoders of any width. Smaller shrinks harder.
    :param dropout: part of the hidden units that each training step leaves out.
    :param learning_rate: Adam's (Kingma and Ba 2015).
    :param max_epochs: passes over the training rows at most.
    :param patience: passes without a lower held-out loss after which training stops.
    :param hold_out_one_in: one in so many patients is held out for early stopping; more than one where a class has fewer
        patients than that.
    """

    hidden: int = Field(default=32, ge=1, le=4096)
    activation_variance: float = Field(default=3.0, gt=0, le=1e6, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    max_epochs: int = Field(default=300, ge=1, le=100_000)
    patience: int = Field(default=30, ge=1, le=100_000)
    hold_out_one_in: int = Field(default=5, ge=2, le=100)


class MlpHead(Head):
    """Served as two matrix products.

    :param standardiser: fitted on the rows that were not held out.
    :param tensors: ``hidden_weight (n_features, hidden)``, ``hidden_bias (hidden,)``, ``output_weight (hidden,)``,
        ``output_bias (1,)``.
    """

    def __init__(self, standardiser: Standardiser, tensors: dict[str, NDArray[np.float64]]) -> None:
        self._standardiser = standardiser
        self._tensors = tensors

    def predict_proba(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """See :meth:`lusfx.contracts.Head.predict_proba`."""
        return two_class_probabilities(in_blocks(self._logits, features))

    def _logits(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        part = self._tensors
        hidden = np.maximum(self._standardiser(features) @ part["hidden_weight"] + part["hidden_bias"], 0)
        return hidden @ part["output_weight"] + part["output_bias"]

    def save(self, directory: Path) -> None:
        """Write ``head.safetensors``."""
        scales = {"mean": self._standardiser.mean, "inverse_std": self._standardiser.inverse_std}
        write_tensors(directory, LAYOUT, scales | self._tensors)


class MlpHeadSpec(HeadSpec):
    """One hidden layer of rectified units."""

    name = "mlp"
    summary = "one hidden layer, early stopping on held-out patients (trains with torch)"
    settings = MlpSettings

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> MlpHead:
        """Train on one CPU thread, where the same input and seed give the same head.

        :raises MissingExtraError: without torch.
        :raises TrainingRefusedError: if the rows cannot be learnt from, or a class has fewer than two patients, so that
            none could be held out.
        """
        try:
            import torch  # noqa: F401 - said here, before any work, and in words
        except ImportError:
            raise MissingExtraError("training an MLP head", "train") from None
        chosen = MlpSettings.model_validate(settings.model_dump())
        check_training(training)
        n_folds = max(2, min(chosen.hold_out_one_in, patients_of_rarer_class(training)))
        held_out = patient_folds(training, n_folds, np.random.default_rng(seed)) == 0
        standardiser = Standardiser.of(training.features[~held_out])
        tensors = _train(standardiser, training, held_out, chosen, seed)
        return MlpHead(standardiser, tensors)

    def load(self, directory: Path) -> MlpHead:
        """Read ``head.safetensors``."""
        tensors = read_tensors(directory, LAYOUT, DIMENSIONS)
        n_features, hidden = tensors["hidden_weight"].shape
        shapes: dict[str, tuple[int, ...]] = {"mean": (n_features,), "inverse_std": (n_features,)}
        shapes |= {"hidden_bias": (hidden,), "output_weight": (hidden,), "output_bias": (1,)}
        require_shapes(tensors, shapes)
        return MlpHead(Standardiser(tensors.pop("mean"), tensors.pop("inverse_std")), tensors)


def _train(
    standardiser: Standardiser, training: TrainingSet, held_out: NDArray[np.bool_], settings: MlpSettings, seed: int
) -> dict[str, NDArray[np.float64]]:
    """The weights at the lowest held-out loss, the untrained ones among them."""
    import torch

    rows, targets = _as_tensors(standardiser, training, ~held_out)
    held_out_rows, held_out_targets = _as_tensors(standardiser, training, held_out)
    with _own_torch_state(seed):
        hidden = torch.nn.Linear(rows.shape[1], settings.hidden)
        output = torch.nn.Linear(settings.hidden, 1)
        _start_from_the_base_rate(output, targets)
        network = torch.nn.Sequential(hidden, torch.nn.ReLU(), torch.nn.Dropout(settings.dropout), output)
        optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
        penalty = rows.shape[1] / (2 * settings.activation_variance * len(rows))
        lowest, best_epoch, best = _loss(network, held_out_rows, held_out_targets), 0, _parts(hidden, output)
        for epoch in range(1, settings.max_epochs + 1):
            network.train()
            for batch in torch.randperm(len(rows)).split(_batch_rows(len(rows))):
                optimiser.zero_grad()
                logits = network(rows[batch])[:, 0]
                loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets[batch])
                torch.autograd.backward(loss + penalty * hidden.weight.square().sum())
                optimiser.step()
            held_out_loss = _loss(network, held_out_rows, held_out_targets)
            if held_out_loss < lowest:
                lowest, best_epoch, best = held_out_loss, epoch, _parts(hidden, output)
            elif epoch - best_epoch >= settings.patience:
                break
    return best


def _loss(network: torch.nn.Module, rows: torch.Tensor, targets: torch.Tensor) -> float:
    import torch

    network.eval()
    with torch.inference_mode():
        return float(torch.nn.functional.binary_cross_entropy_with_logits(network(rows)[:, 0], targets))


def _as_tensors(
    standardiser: Standardiser, training: TrainingSet, chosen: NDArray[np.bool_]
) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    rows = in_blocks(lambda block: standardiser(block).astype(np.float32), training.features[chosen])
    return torch.from_numpy(rows), torch.from_numpy(training.targets[chosen].astype(np.float32))


def _start_from_the_base_rate(output: torch.nn.Linear, targets: torch.Tensor) -> None:
    """Where no step lowers the held-out loss, the answer is then the base rate and not the noise of random weights."""
    import torch

    with torch.no_grad():
        output.weight.zero_()
        output.bias.copy_(torch.logit(targets.mean()))


def _batch_rows(n_rows: int) -> int:
    """Some steps in each pass however few rows there are, and large products where there are many."""
    return min(max(n_rows // 8, 32), 1024)


def _parts(hidden: torch.nn.Linear, output: torch.nn.Linear) -> dict[str, NDArray[np.float64]]:
    """Copies, because the optimiser changes the weights in place."""
    parts = {
        "hidden_weight": hidden.weight.T,
        "hidden_bias": hidden.bias,
        "output_weight": output.weight[0],
        "output_bias": output.bias,
    }
    return {name: part.detach().numpy().astype(np.float64) for name, part in parts.items()}


@contextmanager
def _own_torch_state(seed: int) -> Iterator[None]:
    """Seed torch's generator and use one thread; the caller gets back what it had."""
    import torch

    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the generators of every GPU, which fork_rng does not restore.
        torch.default_generator.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
