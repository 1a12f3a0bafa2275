"""The page of a validation: eleven checks with their figures, and how long the guard takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from waltzjax.report import figures
from waltzjax.report.figures import Drawn, inline_svg, legend_key, name_rows, new_axes, plain
from waltzjax.report.pages import write_page

Checks = Sequence[Mapping[str, Any]]
SHARE, LATENCY = "%", "added_latency"  # the unit of what is drawn as a share; the check in ms
PERCENTILES = {"p50": ":", "p95": "-", "p99": "--"}  # line styles
BINS = 40


def write_validation(
    path: Path,
    *,
    subject: str,
    source: str,
    checks: Checks,
    added_ms: Sequence[float],
    warnings: Sequence[str],
    note: str,
) -> None:
    """Write the page to ``path``, whole or not at all.

    ``checks``: as ``validation.checks.Check.as_json`` gives them; ``added_ms``: to each request;
    ``source``: of the agents' measures; ``warnings``, ``note``: of ``report.trust``. All of it is
    escaped.
    """
    shares = [c for c in checks if c["unit"] == SHARE and math.isfinite(c["value"])]
    drawings = [draw_shares(shares)] if shares else []
    latency = next((c for c in checks if c["name"] == LATENCY), None)
    if added_ms and latency:
        drawings.append(draw_latency(added_ms, latency))
    write_page(
        path,
        "validation.html",
        title="Validation: the eleven checks",
        subject=subject,
        source=source,
        checks=checks,
        passed=sum(c["passed"] for c in checks),
        drawings=drawings,
        warnings=warnings,
        note=note,
    )


def draw_shares(checks: Checks) -> Drawn:
    """A line a check in per cent: its figure with the 95 % interval, and the threshold as a bar."""
    height = 0.55 + 0.5 * len(checks)
    figure, axes = new_axes(height, left=0.03, top=1, bottom=0.45 / height)
    for y, check in enumerate(checks):
        color = figures.GOOD if check["passed"] else figures.BAD
        value, (low, high) = check["value"], check["interval"]
        reach = [[max(0.0, value - low)], [max(0.0, high - value)]] if low == low else None
        axes.errorbar(value, y, xerr=reach, fmt="o", ms=6, capsize=3, lw=1.2, color=color)
        axes.vlines(check["threshold"], y - 0.2, y + 0.2, color=figures.TEXT, lw=2)
    name_rows(axes, [f"{c['title']} {c['relation']} {c['threshold']:g} %" for c in checks])
    axes.set_xlim(-2, 102)
    axes.set_xlabel("%; bars: 95 % intervals")
    axes.grid(axis="x", color=figures.LINE, lw=0.6)
    legend = [
        legend_key("passes", figures.GOOD, mark="●"),
        legend_key("fails", figures.BAD, mark="●"),
        legend_key("threshold", figures.TEXT, mark="┃"),
    ]
    title = "Figures beside their thresholds"
    return Drawn(title, [c["title"] for c in checks], inline_svg(figure, "shares"), legend=legend)


def draw_latency(added_ms: Sequence[float], check: Mapping[str, Any]) -> Drawn:
    """How many requests the guard delayed by so much, with percentiles and, if it is not far off,
    the threshold."""
    figure, axes = new_axes(2.4)
    axes.hist(added_ms, BINS, color=figures.BLUE, edgecolor=figures.CARD, lw=0.4)
    legend = []
    for name, line in PERCENTILES.items():
        value = float(np.percentile(added_ms, float(name[1:])))
        axes.axvline(value, color=figures.TEXT, lw=1.4, ls=line)
        legend.append(legend_key(f"{name}: {value:.0f} ms", figures.TEXT, line))
    if check["threshold"] < 2 * max(added_ms):
        axes.axvline(check["threshold"], color=figures.BAD, lw=1.6)
        legend.append(legend_key("threshold of p95", figures.BAD))
    axes.set_xlim(left=0)
    axes.set_xlabel("ms that the guard adds to a request")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain)
    svg = inline_svg(figure, "latency")
    return Drawn("Added latency", [*PERCENTILES], svg, "requests", legend)
