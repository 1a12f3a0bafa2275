"""The report of preference pairs: what the scores are, which pairs there are, and why no more."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from waltzjax.report import figures
from waltzjax.report.figures import Drawn, inline_svg, legend_key, new_axes, plain
from waltzjax.report.pages import write_page

Table = tuple[Sequence[str], Sequence[Sequence[object]]]  # header, rows of as many cells
SCORES = {  # what a histogram is of: heading, what is counted
    "s_end": ("s_end: the same answer", "questions"),
    "s_path": ("s_path: lengths and words alike", "questions"),
    "s_cf": ("s_cf: the counterfactual agrees", "questions"),
    "quality": ("Quality: concise, and like the probes", "answers"),
    "reward": ("Reward", "answers"),
}
SIDES = {"chosen": (figures.GREEN, "-"), "rejected": (figures.BROWN, "--")}  # colour, line


def write_preferences_report(
    path: Path,
    *,
    title: str,
    summary: Mapping[str, Any],
    warnings: Sequence[str],
    tables: Mapping[str, Table],
    examples: Mapping[str, Sequence[Any]],
    config_text: str,
) -> None:
    """Write the report to ``path``, whole or not at all.

    ``summary``: as ``preference.summary`` gives it; ``tables``: by title; ``examples``: some
    ``Preference`` records by type. All of it is escaped.
    """
    panels = [
        Drawn(heading, [name], _histogram(name, distribution), SCORES[name][1])
        for name, (heading, _) in SCORES.items()
        if (distribution := summary["scores"].get(name))
    ]
    panels += [
        Drawn(
            f"Words, {kind} pairs",
            [*SIDES],
            _sides(kind, words),
            "pairs by the words of an answer",
            [legend_key(side, *how) for side, how in SIDES.items()],
        )
        for kind, words in summary["words"].items()
    ]
    write_page(
        path,
        "preferences.html",
        title=title,
        summary=summary,
        warnings=warnings,
        tables=tables,
        panels=panels,
        examples=examples,
        config_text=config_text,
        summary_text=json.dumps(summary, indent=2),
    )


def _histogram(name: str, distribution: Mapping[str, Any]) -> str:
    """Inline SVG: bars, and a line at the mean."""
    figure, axes = new_axes(2.2)
    edges, counts = (np.array(distribution["histogram"][key]) for key in ("edges", "counts"))
    axes.bar(
        edges[:-1], counts, np.diff(edges), align="edge", color=figures.BLUE, edgecolor=figures.CARD
    )
    axes.axvline(distribution["mean"], color=figures.TEXT, lw=1.2, ls="--")
    axes.set_xlabel(f"{name}; dashed: the mean, {distribution['mean']:.3f}")
    return _finished(figure, axes, name)


def _sides(kind: str, words: Mapping[str, Any]) -> str:
    """Inline SVG: outlines of the chosen and the rejected answers' histograms."""
    figure, axes = new_axes(2.2)
    for side, (color, line) in SIDES.items():
        histogram = words[side]["histogram"]
        axes.stairs(histogram["counts"], histogram["edges"], color=color, lw=1.6, ls=line)
    axes.set_xlabel("words of an answer")
    return _finished(figure, axes, f"words-{kind}")


def _finished(figure: Any, axes: Any, salt: str) -> str:
    axes.set_ylim(bottom=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain)
    return inline_svg(figure, salt)
