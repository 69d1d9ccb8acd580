"""A checkpoint's tensors under the names of timm's network, to the last key."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from lusfx.backbone import make_backbone, make_network_of, own_size
from lusfx.config import Pooled
from lusfx.contracts import EncoderRecipe
from lusfx.errors import EncoderError
from lusfx.messages import counted, first_few, one_line

if TYPE_CHECKING:
    import torch

    from lusfx.contracts.recipe import TokenPooling

POOLED: Final[Mapping[TokenPooling, Pooled]] = {
    "own": "mean",
    "map-mean": "mean",
    "tokens-mean": "tokens-mean",
    "class-token": "class-token",
}
"""What an encoder's identity calls a recipe's pooling."""
BEHIND: Final = "behind the layer"


@dataclass(frozen=True, slots=True)
class Fitted:
    """Weights that fit a network.

    :param weights: its state dictionary, in float32.
    :param pooling: as the encoder's identity calls it.
    :param input_size: as the encoder's identity has it.
    :param dropped: what of the checkpoint is not in it, in words.
    """

    weights: Mapping[str, NDArray[np.generic]]
    pooling: Pooled
    input_size: int | None
    dropped: tuple[str, ...]


def fit(tensors: Mapping[str, torch.Tensor], recipe: EncoderRecipe) -> Fitted:
    """Drop and rename what the recipe says, and require that the network's keys are there, in their shapes, and no others.

    Weights of the network that lie behind the recipe's layer are left out. Where the size is another than the network's own and
    its weights depend on it, timm makes them fit: position embeddings are interpolated.

    :raises EncoderError: naming the first keys that do not fit.
    """
    named, dropped = _renamed(tensors, recipe)
    pooling = POOLED[recipe.pooling]
    whole = make_network_of(recipe.architecture)
    expected = make_backbone(recipe.architecture, recipe.layer, pooling).state_dict()
    behind = named.keys() & (whole.state_dict().keys() - expected.keys())
    weights = {key: value for key, value in named.items() if key not in behind}
    _require_fit(weights, expected, recipe)
    weights = {key: weights[key].to(value.dtype) for key, value in expected.items()}
    if behind:
        dropped[BEHIND] = len(behind)
    size = None if own_size(whole) in (None, recipe.size) else recipe.size
    if size is not None:
        weights = _resized(weights, whole, recipe, size)
    return Fitted(
        # Copied: what was read may be a map of the file, whose pages could still change.
        weights={key: np.array(value.numpy(), order="C") for key, value in weights.items()},
        pooling=pooling,
        input_size=size,
        dropped=tuple(f"{what} ({counted(n, 'tensor')})" for what, n in dropped.items()),
    )


def _renamed(
    tensors: Mapping[str, torch.Tensor], recipe: EncoderRecipe
) -> tuple[dict[str, torch.Tensor], Counter[str]]:
    """The tensors that are kept, by their new names, and how many each pattern dropped."""
    rules = [(re.compile(rule.pattern), rule) for rule in recipe.checkpoint.rename]
    named: dict[str, torch.Tensor] = {}
    dropped: Counter[str] = Counter()
    for key, value in tensors.items():
        pattern = next((drop for drop in recipe.checkpoint.drop if fnmatchcase(key, drop)), None)
        if pattern is not None:
            dropped[pattern] += 1
            continue
        found = next(((match, rule) for regex, rule in rules if (match := regex.fullmatch(key))), None)
        names = [key] if found is None else [found[0].expand(name) for name in found[1].names()]
        for name in names:
            if name in named:
                raise EncoderError(f"the recipe {recipe.name} gives two tensors the name {one_line(name)}")
            named[name] = value.squeeze() if found is not None and found[1].squeeze else value
    return named, dropped


def _require_fit(
    weights: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], recipe: EncoderRecipe
) -> None:
    missing, left_over = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    problem = f"the checkpoint does not fit the recipe {recipe.name}"
    if missing or left_over:
        raise EncoderError(
            f"{problem}: of timm/{recipe.architecture} {counted(len(missing), 'key')} missing ({first_few(missing)}), "
            f"{len(left_over)} left over ({first_few([one_line(key) for key in left_over])})"
        )
    for key, value in weights.items():
        if value.shape != expected[key].shape:
            raise EncoderError(
                f"{problem}: {key} has the shape {tuple(value.shape)}, and not {tuple(expected[key].shape)}"
            )
        if value.is_floating_point() != expected[key].is_floating_point():
            raise EncoderError(f"{problem}: {key} has another type of numbers")
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise EncoderError(f"the checkpoint: {key} has a value that is not finite")


def _resized(
    weights: Mapping[str, torch.Tensor], whole: torch.nn.Module, recipe: EncoderRecipe, size: int
) -> dict[str, torch.Tensor]:
    """The weights for images of another size, as timm interpolates them."""
    import torch

    patch = getattr(getattr(whole, "patch_embed", None), "patch_size", (1, 1))
    if size % patch[0] or size % patch[1]:
        raise EncoderError(
            f"timm/{recipe.architecture} takes no images of {size} px: its patches are {patch[0]} px wide, and none may be cut"
        )
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what timm's interpolation costs
        whole.load_state_dict(dict(weights), strict=False)  # those behind the layer are random, and not taken
        try:
            whole.set_input_size(img_size=(size, size))
        except (AssertionError, ValueError, TypeError, RuntimeError) as error:
            raise EncoderError(
                f"timm/{recipe.architecture} takes no images of {size} px ({type(error).__name__})"
            ) from None
        values = whole.state_dict()
        return {key: values[key].clone() for key in weights}
