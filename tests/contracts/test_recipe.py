"""Recipes are data: each key is checked, none is guessed, and none is unknown."""

from __future__ import annotations

import pytest

from lusfx.contracts import parse_recipe
from lusfx.contracts.recipe import require_pooling, timm_layer
from lusfx.errors import UsageError

SOUND = """
name = "small-vit"
summary = "a small transformer"
architecture = "test_vit"
layer = "block-3"
pooling = "tokens-mean"
size = 160
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
training_data = "nothing"
training_sets = ["POCUS"]
citation = "nobody"

[licence]
name = "MIT"
read_at = "LICENSE"
may_be_passed_on = true

[checkpoint]
file = "small.pth"
repository = "somebody/small"
under = "model"
drop = ["decoder_*"]
rename = [{ from = "encoder[.](.*)", to = '\\1' }]
"""


def test_a_recipe_is_read_whole() -> None:
    recipe = parse_recipe(SOUND)
    assert (recipe.layer, recipe.pooling, recipe.size) == ("blocks.2", "tokens-mean", 160)
    assert (recipe.training_sets, recipe.training_sets_complete) == (("POCUS",), False)
    assert recipe.licence.may_be_passed_on is True
    (rule,) = recipe.checkpoint.rename
    assert (rule.pattern, rule.names(), rule.squeeze) == ("encoder[.](.*)", (r"\1",), False)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("size = 160", 'size = "160"', "size: it must be a whole number"),
        ("size = 160", "size = 160.0", "size: it must be a whole number"),
        ("size = 160", "size = 8", "size: it must be greater than or equal to 16"),
        ("size = 160", "", "size: it is missing"),
        ("size = 160", "size = 160\nsizes = 3", "sizes: there is no such setting"),
        ("size = 160", "size = 2026-11-30", "a value that no key of a recipe takes"),
        ("size = 160", "size = nan", "a value that no key of a recipe takes"),
        ("size = 160", "size =", "the recipe is no TOML"),
        ('under = "model"', 'below = "model"', "checkpoint.below: there is no such setting"),
        ("0.229, ", "0.0, ", "std: it must be more than 0"),
        ("0.229, ", "", "std.2: it is missing"),
        ("small-vit", "Small ViT", "name: "),
        ("test_vit", "../test", "architecture: "),
        ('pooling = "tokens-mean"', 'pooling = "max"', "pooling: it must be"),
        ('pooling = "tokens-mean"', "", "'own' goes with the layer global-pool"),
        ('layer = "block-3"', "", "'own' goes with the layer global-pool"),
        ("encoder[.](.*)", "encoder[.(", r"checkpoint.rename.0.from: it is no regular expression"),
        (r"'\1'", r"'\2'", r"names a group that 'from' has not"),
        (r"'\1'", "''", "or nothing"),
        ("may_be_passed_on = true", 'may_be_passed_on = "yes"', "it must be true or false"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, message: str) -> None:
    assert old in SOUND
    with pytest.raises(UsageError, match=message):
        parse_recipe(SOUND.replace(old, new, 1))


def test_blocks_are_counted_from_one() -> None:
    assert [timm_layer(name) for name in ("block-1", "block-12", "blocks.3", "norm", "block-0")] == [
        "blocks.0", "blocks.11", "blocks.3", "norm", "block-0",
    ]  # fmt: skip


def test_poolings_go_with_layers() -> None:
    require_pooling("global-pool", "own")
    require_pooling("norm", "class-token")
    for layer, pooling in (("global-pool", "class-token"), ("norm", "own")):
        with pytest.raises(ValueError, match="goes with the layer global-pool"):
            require_pooling(layer, pooling)  # type: ignore[arg-type]
