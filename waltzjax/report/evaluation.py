"""The report of one evaluation: rates before and after feedback, by category, what feedback did."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from waltzjax.report.measures import Estimate, estimate, number, shown
from waltzjax.report.pages import inline_svg, write_page
from waltzjax.report.trust import note, warnings

OF_A_KIND = 6  # transcripts shown
DRAWN = {"asr": ("ASR", "#6A3D9A", "o"), "orr": ("ORR", "#1B7F5C", "s")}  # colours, and shapes


def write_evaluation(
    path: Path,
    *,
    title: str,
    agents: Mapping[str, str],
    config_text: str,
    result: Mapping[str, Any],
    kinds: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Write the report to ``path``, whole or not at all.

    ``agents``: what was evaluated, by role; ``result``: as ``waltzjax.evaluate.result`` gives it;
    ``kinds``: all transcripts, by what became of them. All of it is escaped.
    """
    categories, first = result["categories"], result["initial"]
    table = [(m, estimate(first, m.key), estimate(result, m.key)) for m in shown([result])]
    by_category = [
        (name, key, rates["n"], estimate(rates["initial"], key), estimate(rates, key))
        for key in DRAWN
        for name, rates in categories.items()
        if math.isfinite(number(rates[key]))
    ]
    chosen = {name: transcripts[:OF_A_KIND] for name, transcripts in kinds.items()}
    write_page(
        path,
        "evaluation.html",
        title=title,
        agents=agents,
        result=result,
        config_text=config_text,
        table=table,
        by_category=by_category,
        figure=_categories(by_category) if by_category else "",
        confusion=_heat(result["confusion"]),
        kinds=chosen,
        counts={name: len(transcripts) for name, transcripts in kinds.items()},
        warnings=warnings(result),
        note=note(result),
        result_text=json.dumps(result, indent=2, default=str),
    )


def _heat(
    confusion: Mapping[str, Mapping[str, int]],
) -> list[tuple[str, list[tuple[str, int, float]]]]:
    """(the judge's word, [(the feedback's word, count, its share of the row)])."""
    return [
        (judged, [(word, count, count / max(1, sum(row.values()))) for word, count in row.items()])
        for judged, row in confusion.items()
    ]


def _categories(rows: Sequence[tuple[str, str, int, Estimate, Estimate]]) -> str:
    """Inline SVG: a line a category, its rate before (hollow) and after feedback (filled)."""
    figure = Figure(figsize=(7.2, 1.3 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for y, (_, key, _, *estimates) in enumerate(rows):
        text, color, shape = DRAWN[key]
        label = rows[y - 1][1] != key if y else True  # one entry of each in the legend
        for e, when, offset, face in zip(
            estimates, ("before", "after"), (-0.16, 0.16), ("white", color), strict=True
        ):
            if math.isfinite(e.value):
                below, above = max(0.0, e.value - e.low), max(0.0, e.high - e.value)
                axes.errorbar(
                    e.value,
                    y + offset,
                    xerr=[[below], [above]],
                    fmt=shape,
                    ms=6,
                    capsize=3,
                    lw=1.2,
                    color=color,
                    mfc=face,
                    label=f"{text} {when}" if label else "_",
                )
    axes.set_yticks(range(len(rows)), [row[0] for row in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=-1)  # whole markers at 0
    axes.set_xlabel("%, lower is better; bars: 95 % intervals")
    axes.grid(axis="x", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return inline_svg(figure, salt="categories")
