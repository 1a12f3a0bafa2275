"""What HTML pages hold, and what any page of ours keeps to."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np

DRAWN = 0.01  # points: coordinates are written with three decimals
BAR = re.compile(  # inside the axes: those of the legend are not clipped
    r'd="M (\S+) (\S+) \nL (\S+) (\S+) \n?" clip-path'
    r'[^>]*stroke: var\(--\w+\); stroke-width: 1\.[24]"'
)
SCHEMES = re.compile(r":root \{(.*?)\}.*?:root \{(.*?)\}", re.DOTALL)  # light, dark
HOSTILE = "</script><script>alert(1)</script><img src=x onerror='alert(1)'>&amp;\u202e\ud800"


class Page(HTMLParser):
    """Collects the tags, attributes and visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def check_alone(html: str) -> None:
    """Nothing is fetched or run, and no id is used twice or missing."""
    page = Page(html)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            assert value.startswith(("#", "data:")), (tag, name, value)
        if not name.startswith("xmlns"):
            assert "://" not in value, (tag, name, value)
    assert "://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)
    assert "@import" not in html and not re.search(r"url\((?!#)", html)
    assert not {"link", "iframe", "object", "img"} & set(page.tags)
    check_script(html)
    inks = set(re.findall(r"var\(--([\w-]+)\)", html)) - {"share", "columns", "ink"}
    light, dark = (set(re.findall(r"--(\w+):", scheme)) for scheme in SCHEMES.search(html).groups())
    assert inks <= light == dark
    assert not re.findall(r"(?:fill|stroke): #", html)  # colours that would not follow the scheme
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', html))
    assert references and references <= set(ids)


def check_script(html: str) -> None:
    """The page's own script is there, and its policy lets no other one run."""
    [script] = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert script == files("waltzjax").joinpath("templates/page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', html)[0])
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["script-src"] == f"'sha256-{digest}'"
    assert rules.keys() == {"default-src", "script-src", "style-src"}


def row(html: str, name: str) -> list[str]:
    """The cells of the first table row whose name begins with ``name``, white space collapsed."""
    cells = re.findall(rf'<tr><th scope="row">{re.escape(name)}.*?</tr>', html, re.DOTALL)[0]
    found = re.findall(r"<td.*?</td>", cells, re.DOTALL)
    return [" ".join(Page(cell).text.split()) for cell in found]


def check_bars(svg: str, *panels: Sequence[Sequence[float]]) -> None:
    """The level bars of error are drawn from and to these values, in order, each panel's on one
    linear scale."""
    bars = [[float(x) for x in found] for found in BAR.findall(svg)]
    drawn = [(x0, x1) for x0, y0, x1, y1 in bars if y0 == y1]
    assert len(drawn) == sum(map(len, panels)), bars
    for wanted in panels:
        x, value = np.ravel(drawn[: len(wanted)]), np.ravel(wanted)
        drawn = drawn[len(wanted) :]
        scale, offset = np.polyfit(value, x, 1)
        assert scale > 0
        np.testing.assert_allclose(x, scale * value + offset, atol=DRAWN)
