"""The report of one evaluation: rates before and after feedback, by category, what feedback did."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from waltzjax.report import figures
from waltzjax.report.figures import Drawn, inline_svg, legend_key, name_rows, new_axes, plain
from waltzjax.report.heats import labels_heat
from waltzjax.report.measures import Estimate, estimate, number, shown
from waltzjax.report.pages import write_page
from waltzjax.report.trust import note, warnings

Category = tuple[str, str, int, Estimate, Estimate]  # name, measure, prompts, before, after
OF_A_KIND = 6  # transcripts shown
# colours, and shapes
DRAWN = {"asr": ("ASR", figures.PURPLE, "o"), "orr": ("ORR", figures.GREEN, "s")}
MARKS = {("o", "before"): "○", ("o", "after"): "●", ("s", "before"): "□", ("s", "after"): "■"}


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
    first = result["initial"]
    table = [(m, estimate(first, m.key), estimate(result, m.key)) for m in shown([result])]
    by_category = categories(result)
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
        figure=draw_categories(by_category) if by_category else None,
        heat=labels_heat(result["confusion"]),
        kinds=chosen,
        counts={name: len(transcripts) for name, transcripts in kinds.items()},
        warnings=warnings(result),
        note=note(result),
        result_text=json.dumps(result, indent=2, default=str),
    )


def categories(result: Mapping[str, Any]) -> Sequence[Category]:
    """The rates of a result's categories that were counted."""
    return [
        (name, key, rates["n"], estimate(rates["initial"], key), estimate(rates, key))
        for key in DRAWN
        for name, rates in result["categories"].items()
        if math.isfinite(number(rates[key]))
    ]


def draw_categories(rows: Sequence[Category]) -> Drawn:
    """A line a category, its rate before (hollow) and after feedback (filled)."""
    height = 0.5 + 0.5 * len(rows)
    figure, axes = new_axes(height, left=0.03, top=1, bottom=0.45 / height)
    legend = {}
    for y, (_, key, _, *estimates) in enumerate(rows):
        text, color, shape = DRAWN[key]
        for e, when, offset, face in zip(
            estimates, ("before", "after"), (-0.1, 0.18), (figures.CARD, color), strict=True
        ):
            legend[f"{text} {when}"] = legend_key(f"{text} {when}", color, mark=MARKS[shape, when])
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
                )
    name_rows(axes, [row[0] for row in rows])
    axes.set_xlim(left=-1)  # whole markers at 0
    axes.xaxis.set_major_formatter(plain)
    axes.set_xlabel("%, lower is better; bars: 95 % intervals")
    axes.grid(axis="x", color=figures.LINE, lw=0.6)
    svg = inline_svg(figure, salt="categories")
    return Drawn("By category", [*legend], svg, legend=[*legend.values()])
