"""Runs the checks of a conformance class one by one, as pytest would, and says which fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Verdict:
    """What became of the checks of one conformance class.

    :param failed: what was said, by the check's name.
    :param skipped: why, by the check's name.
    :param not_set_up: what was raised by what the other checks need, a trained model say; None where it could be made.
    """

    failed: dict[str, str]
    skipped: dict[str, str]
    not_set_up: Exception | None


Judge = Callable[..., Verdict]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """``judge(kit, without=(), only=None)`` runs all checks but those named, or only those that are."""
    numbers = count()

    def folder() -> Path:
        made = tmp_path / f"check-{next(numbers)}"
        made.mkdir()
        return made

    def run(kit: Any, without: Iterable[str] = (), only: Iterable[str] | None = None) -> Verdict:
        prepared: dict[str, Any] = {}
        failed: dict[str, str] = {}
        skipped: dict[str, str] = {}
        not_set_up: Exception | None = None

        def fixture(name: str, instance: Any) -> Any:
            """What the fixture of a name gives; those of a class are made once."""
            if name == "tmp_path":
                return folder()
            if name == "source":
                return instance.write(folder())
            if not_set_up is not None:
                raise not_set_up
            if name not in prepared:
                make = getattr(kit, {"trained": "train", "fitted": "fit", "encoder": "open"}[name])
                prepared[name] = make(folder()) if name == "trained" else make()
            return prepared[name]

        for name in kit.checks():
            if name in without or (only is not None and name not in only):
                continue
            instance = kit()
            check = getattr(instance, f"test_{name}")
            try:
                arguments = [fixture(parameter, instance) for parameter in inspect.signature(check).parameters]
            except Exception as error:
                not_set_up = error
                continue
            try:
                check(*arguments)
            except pytest.skip.Exception as skip:
                skipped[name] = str(skip)
            except Exception as error:
                failed[name] = f"{type(error).__name__}: {error}"
        return Verdict(failed, skipped, not_set_up)

    return run
