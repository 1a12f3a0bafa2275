"""HTML pages that need nothing beside them: templates filled in, figures as inline SVG."""

from __future__ import annotations

import os
import re
from importlib.resources import files
from io import StringIO
from pathlib import Path

import jinja2
import matplotlib
from matplotlib.figure import Figure


def write_page(path: Path, template: str, **values: object) -> None:
    """Write ``template`` with ``values``, all of them escaped, to ``path``: whole or not at all."""
    html = render(template, **values)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:  # "replace": model text may hold lone surrogates, which UTF-8 cannot
        temporary.write_bytes(html.encode("utf-8", "replace"))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def render(template: str, **values: object) -> str:
    """``template`` of waltzjax/templates with ``values``, all of them escaped."""
    pages = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return pages.get_template(template).render(values)


def _source(template: str) -> str:
    return files("waltzjax").joinpath("templates", template).read_text(encoding="utf-8")


def inline_svg(figure: Figure, salt: str) -> str:
    """The figure as SVG for a page; ``salt`` tells its ids from those of the page's others."""
    out = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        figure.savefig(out, format="svg")
    svg = re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>", "", out.getvalue(), flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))  # all other ids clash between panels
    return re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", svg)
