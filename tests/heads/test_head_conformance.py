"""The built-in heads pass the kit that plugins' heads are held to."""

from __future__ import annotations

import pytest

from lusfx.heads.attention import AttentionHeadSpec
from lusfx.heads.lightgbm import LightGbmHeadSpec
from lusfx.heads.linear import LogisticHeadSpec
from lusfx.heads.mlp import MlpHeadSpec
from lusfx.testing import HeadConformance


class TestLogistic(HeadConformance):
    spec = LogisticHeadSpec()


@pytest.mark.slow
class TestMlp(HeadConformance):
    spec = MlpHeadSpec()


class TestLightGbm(HeadConformance):
    spec = LightGbmHeadSpec()


@pytest.mark.slow
class TestAttention(HeadConformance):
    spec = AttentionHeadSpec()
