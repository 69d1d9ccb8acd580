"""The versions that the lowest environment is made of are those that pyproject.toml allows."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


def requirements(lines: list[str]) -> dict[str, Requirement]:
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert len({requirement.name for requirement in found}) == len(found)
    return {requirement.name: requirement for requirement in found}


def test_the_file_pins_the_lower_bound_of_every_base_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    allowed = requirements(project["dependencies"])
    pinned = requirements((ROOT / "tests" / "lowest-versions.txt").read_text().splitlines())
    assert list(pinned) == list(allowed)
    for name, requirement in allowed.items():
        bounds = {specifier.operator: specifier.version for specifier in requirement.specifier}
        assert ">=" in bounds, f"{name} has no lower bound"
        pin = next(iter(pinned[name].specifier))
        assert (pin.operator, Version(pin.version)) == ("==", Version(bounds[">="])), name
