"""The page about studies describes what a study's file and its results hold, and its examples are sound."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from lusfx.config import Spec
from lusfx.studies.config import (
    Baseline,
    Choice,
    EncoderEntry,
    FineTuneWay,
    HeadWay,
    StudyConfig,
    TaskEntry,
    WayEntry,
    read_config,
)
from lusfx.studies.costs import COST_COLUMNS
from lusfx.studies.figures import COLUMNS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "study.md"
SECTIONS: dict[str, type[Spec]] = {
    "### The study": StudyConfig,
    "### `[[tasks]]`": TaskEntry,
    "### `[[encoders]]`": EncoderEntry,
    "### `[[ways]]`": WayEntry,
    "#### With `kind = \"head\"`": HeadWay,
    "#### With `kind = \"fine-tune\"`": FineTuneWay,
    "### `baseline`": Baseline,
    "### `[choice]`": Choice,
}  # fmt: skip
TABLES = {"tasks", "encoders", "ways", "baseline", "choice"}
"""Of the study: each has a section of its own."""


def described(model: type[Spec]) -> list[str]:
    """A row a field, as the page has it."""
    inherited = WayEntry.model_fields if issubclass(model, WayEntry) and model is not WayEntry else {}
    rows = []
    for name, field in model.model_fields.items():
        if name in inherited or name == "kind" or (model is StudyConfig and name in TABLES):
            continue
        default = field.default
        said = {PydanticUndefined: "must be given", None: ""}.get(default) if not isinstance(default, dict) else ""
        if said is None:
            said = f"`{list(default)}`" if isinstance(default, tuple) else f"`{default}`"
        rows.append(f"| `{name}` | {said} | {field.description} |")
    return rows


@pytest.mark.parametrize(("heading", "model"), SECTIONS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_every_entry_is_described_with_its_default(heading: str, model: type[Spec]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"\n{heading}\n" in text
    section = re.split(r"\n#{2,4} ", text.split(f"\n{heading}\n", 1)[1])[0]
    table = [line for line in section.splitlines() if line.startswith("| `")]
    assert table == described(model)


def test_every_column_of_the_results_is_described() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for column, meaning in [*COLUMNS.items(), *COST_COLUMNS.items()]:
        assert f"| `{column}` | {meaning} |" in text


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("study-*.toml")), ids=lambda path: path.name)
def test_the_examples_are_sound(example: Path) -> None:
    config = read_config(example)
    # All compare with ImageNet's features; one that chooses may compare with what it would have been without.
    baselines = ("imagenet",) if config.choice is None else ("imagenet", "lung-lite0")
    assert config.baseline.encoder.lower().startswith(baselines)
    for line in example.read_text(encoding="utf-8").splitlines():
        if line.startswith("#   lusfx study"):
            assert example.name in line
