"""Recipes of public encoders: how their authors' files become encoders of lusfx. No weights are here, and none are fetched.

What a recipe says of a file's keys was read in its authors' code that loads it; no recipe was tried on the file itself. So a
recipe may be wrong, and then import says which keys do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from lusfx.contracts import EncoderRecipe, parse_recipe
from lusfx.hookspecs import hookimpl

LUSFX_API_VERSION = 2

RECIPES = ("dinov2-small", "dinov3-small", "panecho", "ultrafedfm", "usf-mae", "usfm")


@hookimpl
def lusfx_register_encoder_recipes() -> Sequence[EncoderRecipe]:
    folder = files(__name__) / "recipes"
    return [
        parse_recipe((folder / f"{name}.toml").read_text(encoding="utf-8"), f"the recipe {name}") for name in RECIPES
    ]
