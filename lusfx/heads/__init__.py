"""The built-in heads, registered as a plugin's are. Nothing heavy is imported before a head is trained or scores."""

from __future__ import annotations

from collections.abc import Sequence

from lusfx.contracts import HeadSpec
from lusfx.hookspecs import hookimpl

LUSFX_API_VERSION = 2


@hookimpl
def lusfx_register_heads() -> Sequence[HeadSpec]:
    """Logistic regression, a small MLP, boosted trees, and attention over the frames of a clip."""
    from lusfx.heads.attention import AttentionHeadSpec
    from lusfx.heads.lightgbm import LightGbmHeadSpec
    from lusfx.heads.linear import LogisticHeadSpec
    from lusfx.heads.mlp import MlpHeadSpec

    return [LogisticHeadSpec(), MlpHeadSpec(), LightGbmHeadSpec(), AttentionHeadSpec()]
