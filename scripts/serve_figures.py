"""The figures of ``bench_serve.py``, as a table and as a picture."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullLocator

from waltzjax.report.figures import BLUE, GREEN, INKS, ORANGE, SIZE, inline_svg, new_axes, plain
from waltzjax.support.files import write_text

HEADER = ["load", "guard", "prompts", "answers", "no answer", "unreviewed",
          "first token, p50, p95, p99", "whole answer, p50, p95, p99",
          "added, p50, p95, p99", "added, from outside", "requests/s", "of unguarded"]  # fmt: skip
KEYS = ("first_ms", "total_ms", "added_ms", "outside_added_ms")
QUANTILES = ("p50", "p95", "p99")
DRAWN = {"p50": "-", "p95": "--"}  # quantile: line
COLORS = (BLUE, GREEN, ORANGE)
Record = Mapping[str, Any]


def rows(records: Sequence[Record]) -> list[list[str]]:
    """A row a record, under ``HEADER``; times in milliseconds."""
    return [
        [
            r["load"],
            r["arm"],
            r["prompts"],
            f"{r['n']:,}",
            _faults(r["faults"]) if "faults" in r else "",
            str(r.get("unreviewed", "")),
            *(_quantiles(r.get(key)) for key in KEYS),
            f"{np.median(r['requests_per_s']):.1f}" if "requests_per_s" in r else "",
            f"{r['throughput_ratio']:.2f}" if "throughput_ratio" in r else "",
        ]
        for r in records
    ]


def _faults(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} × {fault}" for fault, n in counts.items()) or "0"


def _quantiles(values: Mapping[str, float] | None) -> str:
    if not values:
        return ""
    return ", ".join(f"{values[q]:.{1 if values[q] < 10 else 0}f}" for q in QUANTILES)


def draw(records: Sequence[Record], path: Path) -> None:
    """Time of a whole answer against clients, by arm and set of prompts, as an SVG file."""
    figure, axes = new_axes(3.0, top=0.72)
    closed = [r for r in records if r["clients"] and r["total_ms"]]
    lines = [
        k
        for k in dict.fromkeys((r["arm"], r["prompts"]) for r in closed)
        if k[1] != "untriggered"  # nearly all
    ]
    for (arm, prompts), color in zip(lines, COLORS, strict=False):
        those = [r for r in closed if (r["arm"], r["prompts"]) == (arm, prompts)]
        for name, line in DRAWN.items():
            clients, ms = zip(*((r["clients"], r["total_ms"][name]) for r in those), strict=True)
            label = f"{arm}, {prompts}, {name}"
            axes.plot(clients, ms, line, color=color, marker=".", label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sorted({r["clients"] for r in closed}))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain)
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel("clients, each with one request under way")
    axes.set_title("ms for a whole answer; guard, prompts", fontsize=SIZE, loc="left", pad=48)
    axes.legend(fontsize=SIZE - 2, ncols=2, frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
    svg = inline_svg(figure, "serve")
    colors = {f"var(--{name})": color for color, name in INKS.items()}
    svg = re.sub(r"var\(--\w+\)", lambda match: colors[match[0]], svg)
    write_text(path, svg.replace("<svg ", '<svg style="background: #fff" ', 1) + "\n")
