"""The cine browser: what its script is given is what was put in, and nothing in it can break out of the page."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lusfx.report import Cine, CineBrowser, Page, Section, encode_picture, render

HOSTILE = "</script><img src=x onerror=alert(1)>"
UNKNOWN = float("nan")


class Scripts(HTMLParser):
    """Collects the content of the scripts, by their type."""

    def __init__(self) -> None:
        super().__init__()
        self.kind: str | None = None
        self.content: dict[str, str] = {}
        self.images = 0
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.handlers += [name for name in found if name.startswith("on")]
        self.images += tag == "img"
        if tag == "script":
            assert "src" not in found
            self.kind = found.get("type") or "code"

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self.kind = None

    def handle_data(self, data: str) -> None:
        if self.kind is not None:
            self.content[self.kind] = self.content.get(self.kind, "") + data


def scripts_of(html: str) -> Scripts:
    parser = Scripts()
    parser.feed(html)
    return parser


@pytest.fixture
def browser(generator: np.random.Generator) -> CineBrowser:
    frames = [encode_picture(frame, 64, 50) for frame in generator.integers(0, 255, (3, 80, 120), dtype=np.uint8)]
    return CineBrowser(
        [
            Cine(HOSTILE, frames, [0.0, 0.04, 0.08], {"pleural": [0.1, 0.2345, 1.0], HOSTILE: [UNKNOWN] * 3}, []),
            Cine("second", frames[:1], [UNKNOWN], {"effusion": [0.5]}, [("answer", HOSTILE)]),
        ],
        HOSTILE,
    )


@pytest.fixture
def html(browser: CineBrowser) -> str:
    return render(Page("T", "lead", [], [Section("Clips", [browser])], []))


def payload_of(html: str) -> Any:
    return json.loads(scripts_of(html).content["application/json"])


def test_the_script_is_given_what_was_put_in(browser: CineBrowser, html: str) -> None:
    data = payload_of(html)
    assert data["series"] == ["pleural", HOSTILE, "effusion"]
    first, second = data["cines"]
    assert first["name"] == HOSTILE
    assert first["times"] == [0.0, 0.04, 0.08]
    assert first["scores"] == [[0.1, 0.234, 1.0], [None] * 3, []]
    assert second["scores"] == [[], [], [0.5]]
    assert second["times"] == [None]
    assert second["facts"] == [["answer", HOSTILE]]
    assert [base64.b64decode(frame) for frame in first["frames"]] == list(browser.cines[0].frames)


def test_nothing_breaks_out(html: str) -> None:
    scripts = scripts_of(html)
    assert HOSTILE not in html
    assert scripts.images == 0
    assert scripts.handlers == []
    assert not re.search(r"https?://(?!www\.w3\.org/)", html)


def test_the_page_allows_its_own_script_and_no_other(html: str) -> None:
    script = scripts_of(html).content["code"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy[1].replace("&#39;", "'").replace("&#43;", "+")
    assert "default-src 'none'" in policy[1].replace("&#39;", "'")


def test_it_can_be_used_without_seeing_or_pointing(html: str) -> None:
    for label in ('aria-label="Clips"', 'aria-label="Frame"', 'tabindex="0"', "<noscript>", "prefers-reduced-motion"):
        assert label in html


def test_pictures_are_small_and_grey(generator: np.random.Generator) -> None:
    pixels = np.repeat(np.arange(200, dtype=np.uint8)[:, None], 400, axis=1)
    picture = Image.open(io.BytesIO(encode_picture(pixels, 100, 60)))
    assert picture.format == "WEBP"
    assert picture.size == (100, 50)
    shown = np.asarray(picture.convert("L"), float)
    assert abs(shown[25].mean() - 100) < 8
    noise = generator.integers(0, 255, (200, 200), dtype=np.uint8)
    assert len(encode_picture(noise, 200, 10)) < len(encode_picture(noise, 200, 60))


@pytest.mark.parametrize(
    ("frames", "times_s", "scores"),
    [
        ([], [], {}),
        ([b"a"], [0.0, 1.0], {}),
        ([b"a"], [0.0], {"pleural": []}),
        ([b"a", b"b"], [0.0, math.inf], {"x": [0.1]}),
    ],
)
def test_what_does_not_belong_together_is_refused(
    frames: list[bytes], times_s: list[float], scores: dict[str, list[float]]
) -> None:
    with pytest.raises(ValueError, match="for each of its frames"):
        Cine("clip", frames, times_s, scores, [])
