"""The MLP head: its layers, their penalty, and when it stops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.numpy import load, save

from lusfx.errors import TaskModelError
from lusfx.heads import torch_training
from lusfx.heads.head_file import TENSOR_FILE
from lusfx.heads.mlp import LAYOUT, MAX_LAYERS, MlpHeadSpec, MlpSettings
from lusfx.heads.torch_networks import mlp
from lusfx.tensors import METADATA_KEY

SPEC = MlpHeadSpec()


@pytest.mark.parametrize(
    ("given", "sizes"),
    [(32, (32,)), ("32", (32,)), ("64,32", (64, 32)), ("64, 32", (64, 32)), ([64, 32], (64, 32)), ((8,) * 8, (8,) * 8)],
)
def test_layer_sizes_may_be_a_number_text_or_a_list(given: object, sizes: tuple[int, ...]) -> None:
    assert MlpSettings(hidden=given).hidden == sizes


@pytest.mark.parametrize(
    "given",
    [0, -1, 1 << 20, True, None, 2.5, "", "64,", "64;32", "a", "64,0", [], (8,) * 9, ",".join(["8"] * 9), [[8]]],
)
def test_refuses_layer_sizes_that_make_no_sense(given: object) -> None:
    with pytest.raises(ValidationError):
        MlpSettings(hidden=given)


def test_settings_are_recorded_as_text() -> None:
    assert MlpSettings(hidden=[64, 32]).model_dump(mode="json")["hidden"] == "64,32"
    assert MlpSettings(hidden=[64, 32]).model_dump()["hidden"] == (64, 32)


@pytest.mark.parametrize("hidden", [(7,), (6, 5), (3,) * MAX_LAYERS])
def test_serves_what_torch_trained_at_any_depth(
    hidden: tuple[int, ...], make_training, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = make_training(n_rows=120, n_features=9)
    trained = []
    original = torch_training.train
    monkeypatch.setattr(torch_training, "train", lambda *given: trained.append(original(*given)) or trained[0])
    head = SPEC.fit(training, MlpSettings(hidden=hidden, dropout=0.2, max_epochs=5, learning_rate=0.01), seed=0)
    trained[0].layers.eval()
    standardised = torch.from_numpy(head._standardiser.to_float32(training.features))
    expected = torch.sigmoid(trained[0].logits(standardised)).detach().numpy()
    np.testing.assert_allclose(head.predict_proba(training.features)[:, 1], expected, atol=1e-6)
    loaded = SPEC.load(head.files())
    assert np.array_equal(loaded.predict_proba(training.features), head.predict_proba(training.features))


@pytest.mark.slow
def test_two_layers_learn_what_can_be_learnt(make_training, ranked_above) -> None:
    training, unseen = make_training(), make_training(seed=1)
    head = SPEC.fit(training, MlpSettings(hidden="16,8", dropout=0.1), seed=0)
    assert ranked_above(head.predict_proba(unseen.features)[:, 1], unseen.targets) > 0.9


def test_every_hidden_layer_has_dropout_and_a_penalty_by_its_number_of_inputs() -> None:
    network = mlp(10, (6, 4), 0.5)
    assert [layer.in_features for layer in network.penalised] == [10, 6]
    assert network.output not in network.penalised
    squares = [float(layer.weight.detach().square().sum()) for layer in network.penalised]
    penalty = float(torch_training._penalty(network, 3.0, n_units=50).detach())
    assert penalty == pytest.approx((10 * squares[0] + 6 * squares[1]) / (2 * 3.0 * 50))
    hidden_layers_seen = []
    network.layers["dropout"].register_forward_hook(lambda layer, given, result: hidden_layers_seen.append(result))
    network.layers.train()
    network.logits(torch.ones(500, 10))
    assert [tuple(result.shape) for result in hidden_layers_seen] == [(500, 6), (500, 4)]


@pytest.mark.slow
def test_a_narrower_prior_leaves_smaller_weights_in_every_layer(make_training) -> None:
    training = make_training(separation=0.5)
    norms = []
    for variance in (0.03, 30.0):
        settings = MlpSettings(hidden=(8, 8), activation_variance=variance)
        arrays = load(SPEC.fit(training, settings, seed=0).files()[TENSOR_FILE])
        norms.append([np.linalg.norm(arrays[name]) for name in ("weight_0", "weight_1")])
    assert all(narrow < wide for narrow, wide in zip(*norms, strict=True))


@pytest.mark.slow
def test_keeps_the_best_epoch_and_not_the_last(make_training) -> None:
    """With noise for labels every step is for the worse: far more training must not change what is kept."""
    training = make_training(separation=0.0)
    brief, long = (
        SPEC.fit(training, MlpSettings(max_epochs=epochs, patience=400, learning_rate=0.01), seed=0)
        for epochs in (60, 400)
    )
    assert brief.files() == long.files()


def test_the_file_may_hold_one_to_eight_hidden_layers_that_fit_each_other() -> None:
    def image(sizes: list[int], **changed: np.ndarray) -> dict[str, bytes]:
        arrays = {"mean": np.zeros(4), "inverse_std": np.ones(4)}
        for number, (n_inputs, n_units) in enumerate(zip([4, *sizes], sizes, strict=False)):
            arrays |= {f"weight_{number}": np.ones((n_inputs, n_units)), f"bias_{number}": np.zeros(n_units)}
        arrays |= {"output_weight": np.ones(sizes[-1] if sizes else 4), "output_bias": np.zeros(1)}
        return {TENSOR_FILE: save(arrays | changed, metadata={METADATA_KEY: LAYOUT})}

    for sizes in ([3], [3, 2], [2] * 8):
        assert SPEC.load(image(sizes)).predict_proba(np.zeros((2, 4), np.float32))[:, 1].tolist() == [0.5, 0.5]
    for sizes in ([], [2] * 9, [2] * 100):
        with pytest.raises(TaskModelError, match="no others"):
            SPEC.load(image(sizes))
    for wrong in ({"weight_1": np.ones((4, 2))}, {"bias_0": np.zeros(2)}, {"output_weight": np.ones(3)}):
        with pytest.raises(TaskModelError, match="has shape"):
            SPEC.load(image([3, 2], **wrong))
    with pytest.raises(TaskModelError, match="no others"):
        SPEC.load(image([3], weight_2=np.ones((3, 2)), bias_2=np.zeros(2)))
