"""A timm network up to one of its layers: what encoders are made of, whether they are trained, converted or computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lusfx.errors import EncoderError, UsageError

if TYPE_CHECKING:
    import torch

FAMILY = "timm/"
"""What the names of timm's architectures begin with in an encoder's identity."""
LAST_LAYER = "global-pool"
"""The network to its end, with the pooling of its own."""
CLASSIFIER_KEYS = ("classifier.", "fc.", "head.fc.", "head.")
"""Where timm's classifiers keep the weights that a backbone without one has no place for."""
TRIAL_PX = 64
"""Side of the frames that a layer is tried with."""


def make_backbone(name: str, layer: str = LAST_LAYER) -> torch.nn.Module:
    """Build a network with random weights: float32 ``(n, 3, size, size)`` -> ``(n, dim)``.

    Its state dictionary has timm's names, and no weight of a layer behind the one that is taken.

    :param name: timm's name of the architecture.
    :param layer: ``global-pool`` for the whole network; else a module of it that gives a feature map, ``blocks.5`` say, of
        which the mean over both axes is taken.
    :raises EncoderError: if timm has no such architecture, or that no such layer.
    """
    import timm

    try:
        network: torch.nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    except RuntimeError:
        raise EncoderError(f"timm knows no model '{name}'") from None
    return network if layer == LAST_LAYER else _up_to(network, name, layer)


def read_weights(file: Path, name: str, expected: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of a safetensors file; a classifier's are left out, and nothing else may be missing or left over.

    :param name: timm's name of the architecture, for messages.
    :param expected: the backbone's state dictionary.
    :raises EncoderError: naming the first that do not fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, torch.Tensor] = load_file(file)
    except (OSError, SafetensorError, ValueError) as error:
        raise EncoderError(f"the weights file is no safetensors file ({type(error).__name__})") from None
    weights = {key: value for key, value in tensors.items() if key in expected or not key.startswith(CLASSIFIER_KEYS)}
    missing, left_over = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or left_over:
        raise EncoderError(
            f"the weights file does not fit timm/{name}: {len(missing)} keys missing ({', '.join(missing[:3])}), "
            f"{len(left_over)} left over ({', '.join(left_over[:3])})"
        )
    for key, value in weights.items():
        if value.shape != expected[key].shape:
            raise EncoderError(f"the weights file does not fit timm/{name}: {key} has another shape")
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise EncoderError(f"the weights file: {key} has a value that is not finite")
    return weights


def blocks(network: torch.nn.Module) -> list[torch.nn.Module]:
    """The blocks that a network repeats, outermost ones only: modules with a number for a name and several layers in them."""
    import torch

    def within(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
        for name, child in module.named_children():
            is_row = type(child) in (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.Module)
            if name.isdigit() and not is_row and sum(weight.ndim > 1 for weight in child.parameters()) > 1:
                yield child
            else:
                yield from within(child)

    return list(within(network))


def require_architecture(name: str) -> None:
    """Say in words that timm does not know an architecture.

    :raises UsageError: if it does not.
    """
    import timm

    if not timm.is_model(name):
        raise UsageError(f"timm knows no model '{name}'")


def _up_to(network: torch.nn.Module, name: str, layer: str) -> torch.nn.Module:
    """The network's graph, cut off behind a layer, with the mean over the feature map in it."""
    import torch

    try:
        features = _cut(network, layer)
        features.eval()
        with torch.inference_mode():
            shape = features(torch.zeros(1, 3, TRIAL_PX, TRIAL_PX))["map"].shape
    except (ValueError, KeyError, AttributeError, RuntimeError, torch.fx.proxy.TraceError) as error:
        raise EncoderError(f"timm/{name} has no layer '{layer}' that can be taken ({type(error).__name__})") from None
    if len(shape) != 4:
        raise EncoderError(f"the layer '{layer}' of timm/{name} gives no feature map")
    for graph in (features.eval_graph, features.train_graph):
        output = next(node for node in reversed(graph.nodes) if node.op == "output")
        with graph.inserting_before(output):
            pooled = graph.call_function(_mean, (output.args[0]["map"],))
        output.args = (pooled,)
    features.train()  # which takes the changed graph up
    backbone: torch.nn.Module = features
    return backbone


def _cut(network: torch.nn.Module, layer: str) -> torch.nn.Module:
    """The graph that ends at a layer. Blocks stay modules, which :func:`blocks` finds, unless the layer is in one."""
    from timm.layers import get_notrace_functions, get_notrace_modules
    from torchvision.models.feature_extraction import create_feature_extractor  # what timm's own calls

    functions, leaves = get_notrace_functions(), get_notrace_modules()
    for of_blocks in ({type(block) for block in blocks(network)}, set()):
        tracer = {"leaf_modules": [*leaves, *of_blocks], "autowrap_functions": functions}
        try:
            return create_feature_extractor(network, {layer: "map"}, tracer_kwargs=tracer)
        except ValueError:
            if not of_blocks:
                raise
    raise AssertionError


def _mean(feature_map: torch.Tensor) -> torch.Tensor:
    return feature_map.mean(dim=(2, 3))
