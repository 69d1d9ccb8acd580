"""The page of the kit names exactly the checks that there are, each with the words of its docstring."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from lusfx.testing import Conformance, EncoderConformance, HeadConformance, ReaderConformance, TaskConformance
from lusfx.testing.small_cache import make_small_cache

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")


def section(kit: type[Conformance]) -> str:
    """What stands under the heading of a class."""
    _, _, rest = PAGE.partition(f": `{kit.__name__}`\n")
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("kit", [TaskConformance, HeadConformance, EncoderConformance, ReaderConformance])
def test_the_tables_name_exactly_the_checks(kit: type[Conformance]) -> None:
    table = section(kit).partition("| check | what it asks |")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE))
    assert sorted(rows) == kit.checks()
    for name, said in rows.items():
        docstring = inspect.getdoc(getattr(kit, f"test_{name}")) or ""
        assert said == docstring.splitlines()[0].replace("``", "`"), name


@pytest.mark.parametrize("kit", [TaskConformance, HeadConformance, EncoderConformance, ReaderConformance])
def test_the_tables_name_what_the_author_states(kit: type[Conformance]) -> None:
    stated = {name for name in vars(kit).get("__annotations__", {}) if name != "expected_failures"}
    stated |= {"example(folder)"} if kit is ReaderConformance else set()
    table = section(kit).partition("| attribute |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)) == stated


def test_the_options_of_a_small_cache_are_named() -> None:
    options = list(inspect.signature(make_small_cache).parameters)[2:]
    assert ", ".join(f"`{name}`" for name in options) in " ".join(PAGE.split())
