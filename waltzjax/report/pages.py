"""HTML pages that need nothing beside them: templates filled in, and a script of the page's own."""

from __future__ import annotations

import base64
import hashlib
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

SCRIPT, LIVE_SCRIPT = "page.js", "live.js"  # of any page; besides, of one that follows a run


def write_page(path: Path, template: str, **values: Any) -> None:
    """Write ``template`` with ``values``, all of them escaped, to ``path``: whole or not at all."""
    html = render(template, **values)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(encoded(html))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def encoded(html: str) -> bytes:
    """UTF-8; "?" for lone surrogates, which model text may hold and UTF-8 cannot."""
    return html.encode("utf-8", "replace")


def render(template: str, *, live: bool = False, **values: Any) -> str:
    """``template`` with ``values``, all of them escaped. ``live``: it asks where it came from for
    newer ones of itself; any other page asks nobody for anything.

    No script runs but the page's own: its policy names their digests.
    """
    pages = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    scripts = [_source(name) for name in ((SCRIPT, LIVE_SCRIPT) if live else (SCRIPT,))]
    allowed = [f"script-src {' '.join(map(_digest, scripts))}", "style-src 'unsafe-inline'"]
    policy = "; ".join(["default-src 'none'", *allowed, *["connect-src 'self'"] * live])
    return pages.get_template(template).render(values, live=live, policy=policy, scripts=scripts)


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _source(template: str) -> str:
    return files("waltzjax").joinpath("templates", template).read_text(encoding="utf-8")
