"""What ``bench_serve.py`` measured, as a table and as a picture."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from waltzjax.report.figures import BLUE, INKS, ORANGE, SIZE, inline_svg, new_axes, plain
from waltzjax.support.files import write_text

HEADER = ["load", "prompts", "guard", "first token, p50, p95, p99", "whole answer, p50, p95, p99",
          "added, p50, p95, p99", "seen from outside", "requests/s", "of unguarded"]  # fmt: skip
KEYS = ("first_ms", "total_ms", "added_ms", "outside_added_ms")
LINES = {"p50": "-", "p95": "--", "p99": ":"}
Record = Mapping[str, Any]


def rows(records: Sequence[Record]) -> list[list[str]]:
    """A row a record, under ``HEADER``, with one more where prompts did trigger the guard; times in
    milliseconds."""
    made = []
    for r in records:
        rate = f"{np.median(r['requests_per_s']):.1f}"
        ratio = f"{r['throughput_ratio']:.2f}" if "throughput_ratio" in r else ""
        made.append([r["load"], r["prompts"], r["arm"], *_latencies(r), rate, ratio])
        triggered = r["split"]["triggered"]
        if triggered["n"] and ratio:
            made.append([r["load"], "those that trigger", r["arm"], *_latencies(triggered), "", ""])
    return made


def _latencies(values: Record) -> list[str]:
    return [_quantiles(values.get(key)) for key in KEYS]


def _quantiles(values: Mapping[str, float] | None) -> str:
    if not values:
        return ""
    return ", ".join(f"{values[q]:.{1 if values[q] < 10 else 0}f}" for q in LINES)


def draw(records: Sequence[Record], path: Path) -> None:
    """Time of a whole answer against clients, with the guard and without, as an SVG file."""
    figure, axes = new_axes(2.8, top=0.8)
    chosen = [r for r in records if r["prompts"] == "mixed" and r["clients"]]
    for arm, color in zip(dict.fromkeys(r["arm"] for r in chosen), (BLUE, ORANGE), strict=True):
        those = [r for r in chosen if r["arm"] == arm]
        for name, line in LINES.items():
            clients, ms = zip(*((r["clients"], r["total_ms"][name]) for r in those), strict=True)
            axes.plot(clients, ms, line, color=color, marker=".", label=f"guard {arm}, {name}")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks([r["clients"] for r in those])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain)
    axes.set_xlabel("clients, each with one request under way")
    axes.set_title("ms for a whole answer", fontsize=SIZE, loc="left", pad=34)
    axes.legend(fontsize=SIZE - 1, ncols=2, frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
    svg = inline_svg(figure, "serve")
    colors = {f"var(--{name})": color for color, name in INKS.items()}
    svg = re.sub(r"var\(--\w+\)", lambda match: colors[match[0]], svg)
    write_text(path, svg.replace("<svg ", '<svg style="background: #fff" ', 1) + "\n")
