"""What turns the pages of docs/ into those of the site; mkdocs calls these functions (see mkdocs.yml).

The pages are written for whoever reads them in the repository: there a link may lead to any file, and names the page that it
leads to. On the site only docs/ is there, so a link out of it becomes the file's name, and a page is called by its title. And
the site is read where there is no network: a page that would load anything from elsewhere stops the build.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError

if TYPE_CHECKING:
    from mkdocs.structure.pages import Page

DOCS = Path(__file__).parents[1] / "docs"
OUTSIDE_LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<path>(?:\.\./)+[^)#:]*)(?:#[^)]*)?\)")
PAGE_LINK = re.compile(r"\[(?P<file>[\w-]+\.md)\](?=\((?P=file)[#)])|`docs/(?P<code>[\w-]+\.md)`")
FILE_FENCE = re.compile(r"^```(?P<language>\w+) file=(?P<file>\S+)$", re.MULTILINE)
CELL = re.compile(r"<td>.*?</td>")
LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*\s(?:src|data)=[\"']?(?:https?:)?//[^\"'\s>]+"
    r"|<link\b(?![^>]*rel=[\"']?canonical)[^>]*\shref=[\"']?(?:https?:)?//[^\"'\s>]+"
    r"|url\([\"']?(?:https?:)?//[^)]+"
)
POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'self' file: data: blob: 'unsafe-inline'\">"
)
"""The theme has scripts that would fetch a library for an old browser, or for diagrams, which no page here has."""


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """mkdocs: the text of a page before it is made HTML."""
    return for_site(markdown)


def for_site(markdown: str) -> str:
    """Links out of docs/ become names of files, links to pages their titles, and the file of a fence its title."""
    text = OUTSIDE_LINK.sub(lambda link: _named(link["text"], link["path"]), markdown)
    text = PAGE_LINK.sub(_titled, text)
    return FILE_FENCE.sub(lambda fence: f'```{fence["language"]} title="{fence["file"]}"', text)


def _named(text: str, path: str) -> str:
    file = "/".join(part for part in PurePosixPath(path).parts if part != "..")
    return f"`{file}`" if text.strip("`/") in {file, PurePosixPath(file).name} else f"{text} (`{file}`)"


def _titled(link: re.Match[str]) -> str:
    file = link["file"] or link["code"]
    path = DOCS / file
    if not path.is_file():
        return link[0]
    title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    return f"[{title}]" if link["file"] else f"[{title}]({file})"


def on_page_content(html: str, page: Page, **_: object) -> str:
    """mkdocs: the HTML of a page's text. Within a table code hosts want a pipe escaped, also in code; here it would show."""
    return CELL.sub(lambda cell: cell[0].replace("\\|", "|"), html)


def on_post_page(output: str, page: Page, **_: object) -> str:
    """mkdocs: a whole page. It tells the browser to load nothing from elsewhere, and must not ask for it."""
    found = LOADED.search(output)
    if found:
        raise PluginError(f"{page.file.src_uri} would load something from elsewhere: {found[0]}")
    return output.replace("<head>", f"<head>{POLICY}", 1)
