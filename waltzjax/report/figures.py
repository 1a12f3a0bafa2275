"""Figures of pages: matplotlib's drawings as inline SVG, in the page's own colours and font.

A page has a light and a dark scheme. So what a figure draws in is not a colour but a name of one, a
CSS variable that ``templates/page.html`` defines for both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import StringIO
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure

# Colours as matplotlib takes them, and the CSS variable that stands in their place in a page.
BLUE, ORANGE, GREEN, PURPLE, BROWN, PINK = (
    "#0072b2", "#d55e00", "#1b7f5c", "#6a3d9a", "#8a5a00", "#b0417e",
)  # fmt: skip
TEXT, SOFT, LINE, CARD, GOOD, BAD = (
    "#000000", "#5c6470", "#dddddd", "#ffffff", "#17693f", "#a8261c",
)  # fmt: skip
INKS = {
    BLUE: "blue", ORANGE: "orange", GREEN: "green", PURPLE: "purple", BROWN: "brown", PINK: "pink",
    TEXT: "text", SOFT: "soft", LINE: "line", CARD: "card", GOOD: "good", BAD: "bad",
}  # fmt: skip
WIDTH = 4.0  # inches of any figure: at this width its text is legible on a page of 390 pixels
SIZE = 9  # points of text
DIGIT = 5.4  # points, a digit of it in the fonts that pages ask for
DASHES = {"-": "", "--": "5 2.5", "-.": "6 2 1.5 2", ":": "1.5 2"}  # line style: SVG's dashes


class Key(NamedTuple):
    """An entry of a figure's legend, which the page writes: text wraps there as it must."""

    text: str
    ink: str  # a CSS variable's name
    dashes: str  # of SVG; "" for a whole line
    mark: str = ""  # in the line's place


class Drawn(NamedTuple):
    title: str
    keys: Sequence[str]  # what is drawn
    svg: str
    unit: str = ""
    legend: Sequence[Key] = ()


def legend_key(text: str, color: str, line: str = "-", mark: str = "") -> Key:
    return Key(text, INKS[color], DASHES[line], mark)


def new_axes(height: float, **margins: float) -> tuple[Figure, Any]:
    """A figure of ``height`` inches with axes in the pages' style; ``margins``: of ``Figure``'s
    ``subplots_adjust``. Laid out by hand: matplotlib's own layouts take most of a drawing's time.
    """
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.subplots()
    figure.subplots_adjust(**{"left": 0.14, "right": 0.97, "top": 0.91, "bottom": 0.19} | margins)
    style(axes)
    return figure, axes


def style(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.tick_params(labelsize=SIZE, color=SOFT, length=3)
    axes.xaxis.label.set_size(SIZE)
    axes.set_axisbelow(True)


def plain(value: float, _: object = None) -> str:
    """A tick's label: "0.25", "1500", "2e−6"; never a power that the whole axis has in common."""
    if value and not 1e-3 <= abs(value) < 1e6:
        digits, power = f"{value:.3e}".split("e")
        return f"{float(digits):g}e{int(power)}".replace("-", "−")
    return f"{value:.6g}".replace("-", "−")


def name_rows(axes: Any, names: Sequence[str]) -> None:
    """A row for each of ``names`` from the top, 0 to ``len(names) - 1``, its name above it: beside
    it there is no room on a phone."""
    axes.set_ylim(len(names) - 0.5, -0.75)
    axes.set_yticks([])
    axes.spines[["left"]].set_visible(False)
    place = axes.get_yaxis_transform()
    for y, name in enumerate(names):
        text = axes.text(0, y - 0.28, name, size=SIZE, va="bottom", transform=place)
        text.set_parse_math(False)


def inline_svg(figure: Figure, salt: str) -> str:
    """The figure as SVG for a page; ``salt`` tells its ids from those of the page's others."""
    _make_room(figure)
    out = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", transparent=True)
    svg = re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>", "", out.getvalue(), flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))  # all other ids clash between panels
    svg = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", svg)
    svg = re.sub(r' style="[^"]*"', lambda match: _in_ink(match[0]), svg)
    # Coordinates are points: of their six decimals two are more than a screen can show.
    return re.sub(r' (?:d|x|y|points)="[^"]*"', lambda match: _rounded(match[0]), svg)


def _make_room(figure: Figure) -> None:
    """Widen the left margin to what the longest label of a y axis takes."""
    letters = [len(plain(y)) for axes in figure.axes for y in axes.get_yticks()]
    left = (DIGIT * max(letters, default=0) + 9) / (72 * WIDTH)
    figure.subplots_adjust(left=max(left, figure.subplotpars.left))


def _in_ink(style: str) -> str:
    return re.sub(
        r"#[0-9a-f]{6}", lambda m: f"var(--{INKS[m[0]]})" if m[0] in INKS else m[0], style
    )


def _rounded(attribute: str) -> str:
    return re.sub(r"(\.\d{3})\d+", r"\1", attribute)
