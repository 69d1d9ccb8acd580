"""The hooks that a plugin may implement (pluggy project name ``lusfx``, entry-point group ``lusfx``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from lusfx.contracts import EncoderRecipe, EncoderSpec, HeadSpec, Reader, Task

PROJECT = "lusfx"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function as the implementation of the hook that it is named after."""


@hookspec
def lusfx_register_tasks() -> Sequence[Task]:
    """Questions that can be asked of cached features.

    :returns: instances; their names must be unique among all plugins.
    """
    raise NotImplementedError


@hookspec
def lusfx_register_encoders() -> Sequence[EncoderSpec]:
    """Encoders that ``--encoder NAME`` finds.

    :returns: specs; their names must be unique among all plugins.
    """
    raise NotImplementedError


@hookspec
def lusfx_register_encoder_recipes() -> Sequence[EncoderRecipe]:
    """Recipes that ``lusfx encoders import NAME`` finds: how published checkpoints become encoders.

    :returns: of :func:`lusfx.contracts.parse_recipe`, say; their names must be unique among all plugins.
    """
    raise NotImplementedError


@hookspec
def lusfx_register_readers() -> Sequence[Reader]:
    """Readers of further kinds of source files.

    :returns: instances; two readers that claim one file name ending are an error.
    """
    raise NotImplementedError


@hookspec
def lusfx_register_heads() -> Sequence[HeadSpec]:
    """Kinds of heads that ``train-task --head NAME`` finds.

    :returns: instances; their names must be unique among all plugins.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def lusfx_resolve_weights(encoder: str) -> Path | None:
    """Where the weights of an encoder lie on this machine: a hospital's mirror answers here instead of a model hub.

    :param encoder: the name as the user gave it, ``timm/mobilenetv3_small_100`` say.
    :returns: a safetensors file; None to leave the question to the next plugin, and at last to the encoder itself.
    """


@hookspec
def lusfx_scores_written(scores: Path, tables: Sequence[Path], models: Sequence[str]) -> None:
    """Called once after ``score`` has written its tables: to import them into a hospital's system, say.

    An implementation names those of the parameters that it wants, ``scores`` alone say.

    What it raises makes ``lusfx score`` end with exit code 4. The words of a :class:`lusfx.errors.LusfxError` are shown, so
    they must name no patient; those of others go to a file that only its owner reads.

    :param scores: the score table, complete and closed.
    :param tables: all tables that were written, likewise: ``scores``, and where a model summarises exams that of the exams.
    :param models: names of the models that were asked, ``b-lines@1a2b3c4d5e6f`` say.
    """
