"""What tools/docs_site.py makes of the pages for the site. `tools/check` builds the site itself, strictly."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytestmark = pytest.mark.slow

pytest.importorskip("mkdocs", reason="mkdocs, which builds the site, is not installed")

ROOT = Path(__file__).parents[2]
PAGE = SimpleNamespace(file=SimpleNamespace(src_uri="page.md"))


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_site", ROOT / "tools" / "docs_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("see [plugins/](../plugins).", "see `plugins`."),
        ("[examples/custom_encoder.py](../examples/custom_encoder.py)", "`examples/custom_encoder.py`"),
        ("([a file](../examples/custom_encoder.py))", "(a file (`examples/custom_encoder.py`))"),
        ("[the heads](task-models.md#heads)", "[the heads](task-models.md#heads)"),
        ("[testing.md](testing.md) lists them", "[Testing a plugin](testing.md) lists them"),
        ("[plugins.md](plugins.md#a-task)", "[Plugins](plugins.md#a-task)"),
        ("(`docs/results.md`)", "([Results on real clips](results.md))"),
        ("[2001](https://doi.org/10.1007/3-540-44795-4_13)", "[2001](https://doi.org/10.1007/3-540-44795-4_13)"),
        ("```python file=a/b.py", '```python title="a/b.py"'),
    ],
)
def test_a_page_is_rewritten_for_the_site(site: ModuleType, written: str, shown: str) -> None:
    assert site.for_site(written) == shown


def test_no_link_of_any_page_leaves_the_site(site: ModuleType) -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert "](../" not in site.for_site(page.read_text(encoding="utf-8")), page.name


def test_a_pipe_that_a_code_host_wants_escaped_is_shown_as_one(site: ModuleType) -> None:
    html = "<td><code>Path \\| None</code></td><p><code>a \\| b</code></p>"
    assert site.on_page_content(html, PAGE) == "<td><code>Path | None</code></td><p><code>a \\| b</code></p>"


@pytest.mark.parametrize(
    "part",
    [
        '<script src="https://example.org/a.js"></script>',
        '<link rel="stylesheet" href="//example.org/a.css">',
        '<img alt="" src="http://example.org/a.png">',
        "<style>@import url(https://example.org/a.css)</style>",
    ],
)
def test_a_page_that_loads_from_elsewhere_stops_the_build(site: ModuleType, part: str) -> None:
    from mkdocs.exceptions import PluginError

    with pytest.raises(PluginError, match=r"page\.md would load something from elsewhere"):
        site.on_post_page(f"<html><head>{part}</head></html>", PAGE)


def test_a_page_may_link_elsewhere_and_forbids_to_load_from_there(site: ModuleType) -> None:
    html = '<html><head></head><a href="https://doi.org/10.1">x</a><script src="assets/a.js"></script></html>'
    assert "Content-Security-Policy" in site.on_post_page(html, PAGE)


def test_every_page_has_its_place_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^ +- (?:[^:\n]+: )?([\w-]+\.md)$", text, re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))
