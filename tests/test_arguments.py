"""Public functions take text and paths, one and many, and their results show themselves in a line."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lusfx
from lusfx.arguments import optional_path, paths, several
from lusfx.errors import UsageError
from lusfx.plugins import build_registry
from lusfx.shown import Shown
from lusfx.testing.small_cache import SmallCache, make_small_cache
from tests.engine.scoring.test_score import Sign

PATH_PARAMETERS = {
    "sources", "models", "model", "labels", "cache", "out", "report", "site_key", "weights", "encoder", "probe", "work",
    "config",
}  # fmt: skip


def test_one_or_several() -> None:
    assert paths("sources", "a/b.csv") == paths("sources", Path("a/b.csv")) == [Path("a/b.csv")]
    assert paths("sources", ("a", Path("b"))) == paths("sources", iter(["a", Path("b")])) == [Path("a"), Path("b")]
    assert several("tasks", Sign, type) == [Sign]
    assert (optional_path(None), optional_path("a")) == (None, Path("a"))
    for wrong in (5, None, b"a", [5], ["a", None]):
        with pytest.raises(UsageError, match="sources: expected"):
            paths("sources", wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", lusfx.FUNCTIONS)
def test_every_path_of_a_public_function_may_be_text(name: str) -> None:
    parameters = inspect.signature(getattr(lusfx, name)).parameters
    for parameter in parameters.values():
        if parameter.name in PATH_PARAMETERS:
            assert {"str", "Path"} <= set(str(parameter.annotation).replace("[", " ").replace("]", " ").split()), (
                parameter
            )
    assert name in dir(lusfx)


def test_help_for_a_name_that_is_typed_offers_the_functions_and_nothing_else() -> None:
    assert {name for name in dir(lusfx) if not name.startswith("_")} == set(lusfx.FUNCTIONS)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallCache:
    return make_small_cache(tmp_path_factory.mktemp("small"), Sign(), n_patients=24)


@pytest.fixture(autouse=True)
def tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = build_registry([])
    registry.tasks.add("sign", Sign(), "this test")
    for part in ("training.train", "scoring.score", "evaluation.unseen"):
        monkeypatch.setattr(f"lusfx.engine.{part}.load_registry", lambda: registry)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("many", [lambda one: one, lambda one: [one]], ids=["one", "many"])
def test_a_model_is_trained_and_asked_with_text_and_paths_one_and_many(
    small: SmallCache, tmp_path: Path, kind: Callable[[Any], Any], many: Callable[[Any], Any]
) -> None:
    key = tmp_path / "site.key"
    key.write_text(small.site_key.secret.hex())
    given: dict[str, Any] = {"cache": kind(small.cache), "site_key": kind(key)}
    task: Any = "sign" if kind is str else Sign()
    (trained,) = lusfx.train_task(
        many(task),
        kind(small.labels),
        given["cache"],
        kind(tmp_path / "model"),
        n_repeats=1,
        site_key=given["site_key"],
    )
    out, report = tmp_path / "scores.parquet", tmp_path / "scores.html"
    for place in (out, out.with_suffix(".csv")):
        scored = lusfx.score([], many(kind(trained.out)), **given, out=kind(place), report=kind(report), force=True)
        assert scored.table().num_rows == sum(scored.rows.values())
        assert "probability" in scored.table().column_names
    assert report.is_file()
    for result in (trained, scored):
        assert len(repr(result)) < 400
        assert result.summary() in repr(result)
        assert isinstance(result, Shown)
        assert "<table>" in result._repr_html_()
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "none.mp4").write_text("no video")
    extracted = lusfx.extract(many(kind(folder)), kind(tmp_path / "fresh"), site_key=kind(key))
    assert extracted.counts == {"failed": 1}
    assert str(folder) not in repr(extracted) + extracted._repr_html_()
    shutil.rmtree(tmp_path / "fresh")


def test_what_a_result_shows_is_text_and_no_markup() -> None:
    class Result(Shown):
        def summary(self) -> str:
            return "<b> & more"

        def table_cells(self) -> list[list[str]]:
            return [["a<"], ["b>"]]

    assert repr(Result()) == "<Result: <b> & more>"
    assert Result()._repr_html_() == (
        "<p>&lt;b&gt; &amp; more</p><table><tr><th>a&lt;</th></tr><tr><td>b&gt;</td></tr></table>"
    )
