"""Pages in headless Chromium: what a reader on a phone or in the dark would stumble over."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
INSTALL = "apt-get install chromium, or: python -m playwright install chromium"


def missing() -> str:
    """Why no browser can be had, and the command that brings one; "": one can."""
    if find_spec("playwright") is None:
        return "no playwright: pip install -e '.[test]'"
    if not executable():
        return f"no Chromium here: {INSTALL}"
    return ""


def executable() -> str:
    """Chromium's path, the system's or playwright's own; "": there is none."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    home = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright"
    found = [p for p in Path(home).glob("chromium*/*/*") if p.name in ("chrome", "headless_shell")]
    return str(found[0]) if found else ""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; its start takes a second or two, so that a test opens all of its pages in one."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=executable(), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, url: str, width: int, scheme: str) -> Iterator[tuple[Any, list[str]]]:
    """The page at ``url`` and the list of its errors, which grows; ``scheme``: "light" | "dark"."""
    context = browser.new_context(
        viewport={"width": width, "height": 844 if width < 500 else 900}, color_scheme=scheme
    )
    page, errors = context.new_page(), []
    page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    try:
        page.goto(url)
        yield page, errors
    finally:
        context.close()


def faults(page: Any) -> list[str]:
    """A line for each thing that a reader would stumble over, in words."""
    look = Path(__file__).with_name("page_faults.js").read_text(encoding="utf-8")
    return page.evaluate(f"() => {{ {look}\nreturn faults(); }}")
