"""Cores that are ours."""

from __future__ import annotations

import os

import pytest

from lusfx.cores import available_cores


def test_cores_that_were_not_lent_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_cores() >= 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 7}, raising=False)
    assert available_cores() == 3
