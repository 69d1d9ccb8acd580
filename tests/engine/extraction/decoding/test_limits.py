"""How many decoding processes there are by default, and what the environment says of them."""

from __future__ import annotations

import os

import pytest

from lusfx.engine.extraction.decoding import limits
from lusfx.engine.extraction.decoding.limits import Limits, default_workers
from lusfx.errors import UsageError


@pytest.mark.skipif(os.name != "posix", reason="there are none elsewhere")
@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 1), (4, 2), (9, 4), (64, 8)])
def test_there_is_a_decoder_for_two_cores(monkeypatch: pytest.MonkeyPatch, cores: int, workers: int) -> None:
    monkeypatch.delenv("LUSFX_WORKERS")
    monkeypatch.setattr(limits, "available_cores", lambda: cores)
    assert default_workers() == workers


def test_the_environment_decides_before_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUSFX_WORKERS", "23")
    assert default_workers() == 23
    monkeypatch.setenv("LUSFX_DECODER_MEMORY_MB", "700")
    monkeypatch.setenv("LUSFX_DECODER_TIMEOUT_S", "2.5")
    monkeypatch.setenv("LUSFX_DECODER_CLIP_S", "90")
    assert Limits.of_environment() == Limits(700, 2.5, 90)


@pytest.mark.parametrize("name", ["LUSFX_DECODER_TIMEOUT_S", "LUSFX_DECODER_CLIP_S", "LUSFX_DECODER_MEMORY_MB"])
@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "much"])
def test_a_limit_that_is_no_number_above_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(UsageError, match=name):
        Limits.of_environment()
