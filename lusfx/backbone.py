"""A timm network up to one of its layers: what encoders are made of, whether they are trained, converted or computed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lusfx.config import Pooled
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
"""Side of the frames that a layer is tried with, if the network takes any."""
OF_TOKENS = ("tokens-mean", "class-token")
BEIT = "timm.models.beit"


def make_backbone(
    name: str, layer: str = LAST_LAYER, pooling: Pooled = "mean", input_size: int | None = None
) -> torch.nn.Module:
    """Build a network with random weights: float32 ``(n, 3, size, size)`` -> ``(n, dim)``.

    Its state dictionary has timm's names, and no weight of a layer behind the one that is taken.

    :param name: timm's name of the architecture.
    :param layer: ``global-pool`` for the whole network; else a module of it that gives a feature map, ``blocks.5`` say, of
        which the mean over both axes is taken, or one that gives tokens.
    :param pooling: of a layer that gives tokens, the mean of the patch tokens or the class token.
    :param input_size: side of the images in pixels, where the network's own is not wanted and its weights depend on it.
    :raises EncoderError: if timm has no such architecture, or that no such layer, tokens or size.
    """
    network = make_network_of(name, input_size)
    if layer == LAST_LAYER:
        if pooling != "mean":
            raise EncoderError(f"the end of timm/{name} has a pooling of its own. Name a layer for '{pooling}'")
        return network
    return _up_to(network, name, layer, pooling, input_size)


def make_network_of(name: str, input_size: int | None = None) -> torch.nn.Module:
    """timm's whole network without a classifier, with random weights; parameters as those of :func:`make_backbone`.

    :raises EncoderError: if timm has no such architecture, or that takes no other size.
    """
    import timm

    sizes = {} if input_size is None else {"img_size": input_size}
    try:
        network: torch.nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **sizes)
    except RuntimeError:
        raise EncoderError(f"timm knows no model '{name}'") from None
    except (TypeError, ValueError, AssertionError) as error:
        if input_size is None:
            raise
        raise EncoderError(f"timm/{name} takes no images of {input_size} px ({type(error).__name__})") from None
    for module in network.modules():
        if type(module).__module__ == BEIT and hasattr(module, "fused_attn"):
            module.fused_attn = False  # the exporter cannot write that one with a bias; both compute the same
    return network


def own_size(network: torch.nn.Module) -> int | None:
    """Side in pixels of the images that the network of :func:`make_network_of` is made for, if its weights depend on it."""
    if not hasattr(network, "set_input_size"):
        return None
    size: int = network.pretrained_cfg["input_size"][-1]
    return size


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


def _up_to(network: torch.nn.Module, name: str, layer: str, pooling: Pooled, input_size: int | None) -> torch.nn.Module:
    """The network's graph, cut off behind a layer, with the pooling in it."""
    import torch

    tokens = pooling in OF_TOKENS
    side = input_size or (tokens and own_size(network)) or TRIAL_PX
    try:
        features = _cut(network, layer)
        features.eval()
        with torch.inference_mode():
            shape = features(torch.zeros(1, 3, side, side))["map"].shape
    except (ValueError, KeyError, AttributeError, RuntimeError, AssertionError, torch.fx.proxy.TraceError) as error:
        raise EncoderError(f"timm/{name} has no layer '{layer}' that can be taken ({type(error).__name__})") from None
    if len(shape) != (3 if tokens else 4):
        raise EncoderError(f"the layer '{layer}' of timm/{name} gives no {'tokens' if tokens else 'feature map'}")
    if tokens:
        _leave_out_computed_buffers(features, network.state_dict().keys())
    function, *arguments = _pooling(network, name, pooling)
    for graph in (features.eval_graph, features.train_graph):
        output = next(node for node in reversed(graph.nodes) if node.op == "output")
        with graph.inserting_before(output):
            pooled = graph.call_function(function, (output.args[0]["map"], *arguments))
        output.args = (pooled,)
    features.train()  # which takes the changed graph up
    backbone: torch.nn.Module = features
    return backbone


def _pooling(network: torch.nn.Module, name: str, pooling: Pooled) -> tuple[Any, ...]:
    """The function that pools, and what it is given beside the activations."""
    if pooling == "mean":
        return (_mean,)
    if pooling == "class-token":
        if getattr(network, "cls_token", None) is None:
            raise EncoderError(f"timm/{name} has no class token. Take tokens-mean")
        return (_first_token,)
    return _mean_token, int(network.num_prefix_tokens)


def _leave_out_computed_buffers(features: torch.nn.Module, own: Collection[str]) -> None:
    """What tracing keeps of a network that is no weight of it, indices of positions say, goes into no state dictionary."""
    for name, buffer in list(features.named_buffers()):
        if name not in own:
            module, _, leaf = name.rpartition(".")
            features.get_submodule(module).register_buffer(leaf, buffer, persistent=False)


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


def _mean_token(tokens: torch.Tensor, n_prefix: int) -> torch.Tensor:
    """The mean of the patch tokens; class and register tokens stand before them."""
    return tokens[:, n_prefix:].mean(dim=1)


def _first_token(tokens: torch.Tensor) -> torch.Tensor:
    return tokens[:, 0]
