"""EncoderRecipe: how a published checkpoint becomes an encoder. It is data, and holds no weights and no code."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from lusfx.errors import UsageError
from lusfx.messages import plain_problem

TokenPooling = Literal["own", "map-mean", "tokens-mean", "class-token"]
"""How a layer's activations become one vector: ``own`` as the network itself ends; the mean over both axes of a map; the mean
of a transformer's patch tokens; its class token."""
BLOCK = re.compile(r"block-([1-9][0-9]{0,2})")
OWN_END = "global-pool"
"""The layer of a network that is taken to its own end."""


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"it is no regular expression ({error})") from None
    return text


def timm_layer(name: str) -> str:
    """timm's name of a layer: ``block-8``, the eighth block, is its ``blocks.7``; any other name is timm's already."""
    block = BLOCK.fullmatch(name)
    return f"blocks.{int(block[1]) - 1}" if block else name


Words = Annotated[str, Field(min_length=1, max_length=1000)]
Pattern = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_pattern)]
Layer = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(timm_layer)]


class RecipePart(BaseModel):
    """A part of a recipe: nothing is guessed from another type, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class KeyRule(RecipePart):
    """What a tensor of the checkpoint is called in timm's network.

    :param pattern: regular expression of the whole key (``from`` in TOML).
    :param to: the new name, with ``\\1`` and so on for groups; several names copy the tensor.
    :param squeeze: whether axes of length 1 are left out.
    """

    pattern: Pattern = Field(alias="from")
    to: str | tuple[str, ...]
    squeeze: bool = False

    @model_validator(mode="after")
    def _templates(self) -> Self:
        groups = re.compile(self.pattern).groups
        for name in self.names():
            used = [int(digits) for digits in re.findall(r"\\(\d+)", name)]
            if not name or any(number > groups for number in used):
                raise ValueError("to: it names a group that 'from' has not, or nothing")
        return self

    def names(self) -> tuple[str, ...]:
        """The templates of the new names."""
        return (self.to,) if isinstance(self.to, str) else self.to


class CheckpointSource(RecipePart):
    """The file that the recipe is for, and what is done with its keys.

    :param file: what it is called, or what to look for.
    :param repository: where its authors tell how to get it.
    :param under: key of the file that holds the tensors (``model`` say); None where the file is them.
    :param drop: names of tensors that are no part of the encoder, with ``*`` for any characters.
    :param rename: the first rule that fits a key gives its name; a key that none fits keeps its own.
    :param sha256: digests of files that are known to be right; any file where there is none.
    """

    file: Words
    repository: Words
    under: Words | None = None
    drop: tuple[Words, ...] = ()
    rename: tuple[KeyRule, ...] = ()
    sha256: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = ()


class StatedLicence(RecipePart):
    """What the authors say of the weights' use.

    :param name: SPDX expression, or the licence's own name.
    :param read_at: where it was read: two places of one repository may differ.
    :param may_be_passed_on: whether it lets others be given the encoder; None where that is not known.
    :param commercial_use: whether it lets the encoder be used for money; None where that is not known.
    """

    name: Words
    read_at: Words
    may_be_passed_on: bool | None = None
    commercial_use: bool | None = None


class EncoderRecipe(RecipePart):
    """How a published checkpoint becomes an encoder directory; see ``docs/encoders.md``.

    :param architecture: timm's name of the network.
    :param layer: ``global-pool`` for its own end; else timm's name of a layer, or ``block-8`` for the eighth block.
    :param pooling: how the layer's activations become a vector.
    :param size: side of the input in pixels.
    :param mean: a value a channel, on a scale of 0 to 1; ``std`` likewise.
    :param training_data: what the weights were trained on, in words.
    :param training_sets: names of the data sets among it; None where nobody says.
    :param training_sets_complete: whether these are all of them.
    :param remarks: what a user should know: how lusfx prepares frames otherwise than the authors, say.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$", max_length=100)]
    summary: Words
    architecture: Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=100)]
    layer: Layer = OWN_END
    pooling: TokenPooling = "own"
    size: int = Field(ge=16, le=1024)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: StatedLicence
    training_data: Words
    training_sets: tuple[Words, ...] | None = None
    training_sets_complete: bool = False
    citation: Words
    remarks: Words | None = None
    checkpoint: CheckpointSource

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if any(value <= 0 for value in self.std):
            raise ValueError("std: it must be more than 0")
        require_pooling(self.layer, self.pooling)
        return self


def require_pooling(layer: str, pooling: TokenPooling) -> None:
    """Refuse a layer and a pooling that say nothing together.

    :raises ValueError: if a network's own end is to be pooled otherwise, or a layer not at all.
    """
    if (layer == OWN_END) != (pooling == "own"):
        raise ValueError("pooling: 'own' goes with the layer global-pool, and any other pooling with another layer")


def parse_recipe(text: str, name: str = "the recipe") -> EncoderRecipe:
    """The recipe that a TOML text states.

    :param name: of the recipe, for messages.
    :raises UsageError: naming the first key that is wrong.
    """
    try:
        # By way of JSON, where an array is a tuple for pydantic's strict mode, too.
        return EncoderRecipe.model_validate_json(json.dumps(tomllib.loads(text), allow_nan=False))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is no TOML: {error}") from None
    except (TypeError, ValueError) as error:
        if not isinstance(error, ValidationError):
            raise UsageError(f"{name} has a value that no key of a recipe takes ({type(error).__name__})") from None
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise UsageError(f"{name}: {place}: {plain_problem(first)}") from None
