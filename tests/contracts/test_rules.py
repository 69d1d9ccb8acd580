"""Rules that make no sense cannot be declared."""

from __future__ import annotations

import math

import pytest

from lusfx.contracts import Abstention, Gate, MinSensitivity, MinSpecificity, Youden, ZoneSummary
from lusfx.errors import PluginError


@pytest.mark.parametrize("rule", [MinSensitivity, MinSpecificity])
def test_a_minimum_is_a_share_above_0(rule: type[MinSensitivity | MinSpecificity]) -> None:
    assert rule(1.0).value == 1
    assert rule(0.01).value == 0.01
    for value in (0.0, -0.1, 1.01, 95.0, math.nan):
        with pytest.raises(PluginError, match=f"{rule.__name__}: .* above 0 and at most 1"):
            rule(value)


def test_rules_are_values() -> None:
    assert Youden() == Youden()
    assert MinSensitivity(0.9) == MinSensitivity(0.9) != MinSpecificity(0.9)
    assert Gate("view", is_="pleural") == Gate("view", "pleural")
    assert len({Youden(), Youden(), MinSensitivity(0.9)}) == 2


def test_by_default_only_a_doubtful_beam_is_not_answered() -> None:
    default = Abstention()
    assert (default.min_beam_confidence, default.min_frames, default.familiar) == (0.5, 1, None)


@pytest.mark.parametrize("confidence", [-0.1, 1.1, math.nan])
def test_a_beam_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(PluginError, match="min_beam_confidence"):
        Abstention(min_beam_confidence=confidence)


@pytest.mark.parametrize("n_frames", [0, -3])
def test_no_clip_has_fewer_frames_than_one(n_frames: int) -> None:
    with pytest.raises(PluginError, match="min_frames"):
        Abstention(min_frames=n_frames)


@pytest.mark.parametrize("familiar", [0.0, 0.49, 1.0, 95.0, math.nan])
def test_a_familiar_share_that_is_none_is_refused(familiar: float) -> None:
    with pytest.raises(PluginError, match="familiar"):
        Abstention(familiar=familiar)


def test_bounds_themselves_are_accepted() -> None:
    assert Abstention(min_beam_confidence=1, familiar=0.5).familiar == 0.5
    assert Abstention(min_beam_confidence=0, familiar=0.999).familiar == 0.999


@pytest.mark.parametrize("zones", [(), ("R1", "R1"), ("R1", "L1", "R1")])
def test_zones_are_different_and_not_none(zones: tuple[str, ...]) -> None:
    with pytest.raises(PluginError, match="zones"):
        ZoneSummary(zones)


def test_zones_keep_their_order() -> None:
    assert ZoneSummary(("R2", "R1", "L1")).zones == ("R2", "R1", "L1")
