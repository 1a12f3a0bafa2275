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
    return page.evaluate(f"() => {{ {_LOOK} return [...scrolls(), ...overlaps(), ...faint()]; }}")


_LOOK = r"""
const short = (s) => JSON.stringify(s.trim().replace(/\s+/g, " ").slice(0, 40));
// Visible pieces of text, a line each: {text, node, left, right, top, bottom}.
function pieces() {
  const out = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const e = node.parentElement;
    if (!node.data.trim() || e.closest("script, style, .unseen, [hidden]") || !e.checkVisibility())
      continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const boxes = e instanceof SVGElement ? [e.closest("text").getBoundingClientRect()] : range.getClientRects();
    for (const b of boxes) {
      if (b.width < 1 || b.height < 1) continue;
      const upright = e instanceof SVGElement && b.height > 2 * b.width;
      const h = upright ? 0 : b.height * 0.22; // a line's box is higher than its letters
      out.push({ text: node.data, node: e, left: b.left + 0.5, right: b.right - 0.5, top: b.top + h, bottom: b.bottom - h });
    }
  }
  return out;
}
function scrolls() {
  const out = [], page = document.documentElement, width = page.clientWidth;
  if (page.scrollWidth > width) {
    out.push(`scrolls sideways: ${page.scrollWidth} pixels in ${width}`);
    for (const e of document.body.querySelectorAll("*"))
      if (e.getBoundingClientRect().right > width + 1 && !e.closest(".scroll, svg"))
        out.push(`too wide: <${e.tagName.toLowerCase()} class="${e.className}"> ${short(e.textContent)}`);
  }
  for (const p of pieces()) {
    const frame = p.node.closest("svg")?.getBoundingClientRect();
    if (frame && (p.left < frame.left - 1 || p.right > frame.right + 1 || p.top < frame.top - 1 || p.bottom > frame.bottom + 1))
      out.push(`cut off at a figure's edge: ${short(p.text)}`);
  }
  return out;
}
function overlaps() {
  const out = [], all = pieces().sort((a, b) => a.top - b.top);
  all.forEach((a, i) => {
    for (let j = i + 1; j < all.length && all[j].top < a.bottom - 1; j++) {
      const b = all[j];
      if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && a.node !== b.node)
        out.push(`overlap: ${short(a.text)} and ${short(b.text)}`);
    }
  });
  return out;
}
// Ink against its ground: at least 4.5 to 1 (WCAG 2, AA).
function rgba(text) {
  const n = text.match(/[\d.]+(e-?\d+)?/g).map(Number), scale = text.startsWith("color(") ? 1 : 255;
  return [n[0] / scale, n[1] / scale, n[2] / scale, n.length > 3 ? n[3] : 1];
}
function light([r, g, b]) {
  const [x, y, z] = [r, g, b].map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}
function ground(e) {
  const layers = [];
  for (; e; e = e.parentElement) {
    const c = rgba(getComputedStyle(e).backgroundColor);
    layers.push(c);
    if (c[3] === 1) break;
  }
  return layers.reverse().reduce((below, c) => below.map((v, i) => v * (1 - c[3]) + c[i] * c[3]), [1, 1, 1]);
}
function faint() {
  const out = new Set();
  for (const p of pieces()) {
    const style = getComputedStyle(p.node);
    const ink = light(rgba(p.node instanceof SVGElement ? style.fill : style.color)), back = light(ground(p.node));
    const ratio = (Math.max(ink, back) + 0.05) / (Math.min(ink, back) + 0.05);
    if (ratio < 4.5) out.add(`faint, ${ratio.toFixed(1)} to 1: ${short(p.text)}`);
    const size = p.node instanceof SVGElement ? parseFloat(style.fontSize) * p.node.getScreenCTM().a : parseFloat(style.fontSize);
    const tilted = p.node instanceof SVGElement && Math.abs(p.node.getScreenCTM().b) > 0.1;
    if (!tilted && size < 9.5) out.add(`small, ${size.toFixed(1)} pixels: ${short(p.text)}`);
  }
  return [...out];
}
"""
