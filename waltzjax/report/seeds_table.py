"""Results of several seeds as one table, and the page of a table of several rows.

The page has the table's figures, and F1, ASR and ORR drawn with their intervals.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from scipy.special import stdtrit

from waltzjax.report import figures
from waltzjax.report.figures import Drawn, inline_svg, legend_key, name_rows, plain
from waltzjax.report.measures import Measure, by_key, number
from waltzjax.report.pages import write_page

# Panels of the figure: measure -> label, colour, marker.
DRAWN: tuple[dict[str, tuple[str, str, str]], ...] = (
    {"f1": ("F1", figures.BLUE, "D")},
    {"asr": ("ASR", figures.PURPLE, "o"), "orr": ("ORR", figures.GREEN, "s")},
)
MARKERS = {"D": "◆", "o": "●", "s": "■"}


def write_rows(
    path: Path,
    *,
    title: str,
    seeds: Sequence[int],
    rows: Mapping[str, Mapping[str, Any]],
    over: str = "prompts",
    warnings: Sequence[str] = (),
    note: str = "",
) -> None:
    """Write the page to ``path``, whole or not at all.

    ``rows``: label -> a row of ``summarise``; ``over``: what the seeds' own intervals are over,
    "12 frames"; ``warnings``, ``note``: of ``report.trust``. All of it is escaped.
    """
    shown: list[tuple[Measure, int]] = [
        (by_key(key), decimals) for key, decimals in MEASURES.items()
    ]
    table = [
        (label, [cell(row[m.key], decimals) for m, decimals in shown])
        for label, row in rows.items()
    ]
    write_page(
        path,
        "rows.html",
        title=title,
        seeds=seeds,
        over=over,
        measures=[m for m, _ in shown],
        table=table,
        figure=_forest(rows),
        warnings=warnings,
        note=note,
    )


def _forest(rows: Mapping[str, Mapping[str, Any]]) -> Drawn:
    """A line a row; mean and interval, and small the seeds behind them."""
    height = 0.55 + 0.42 * len(rows)
    figure = Figure(figsize=(figures.WIDTH, height * len(DRAWN)))
    panels = figure.subplots(len(DRAWN), 1)
    bottom = 0.5 / height / len(DRAWN)
    figure.subplots_adjust(left=0.03, right=0.97, top=1, bottom=bottom, hspace=0.5 / (height - 0.5))
    for axes, drawn in zip(panels, DRAWN, strict=True):
        figures.style(axes)
        for (key, (_, color, marker)), offset in zip(
            drawn.items(), (0.0,) if len(drawn) == 1 else (-0.08, 0.18), strict=True
        ):
            for y, row in enumerate(rows.values()):
                _draw(axes, row[key], y + offset, color, marker)
        better = by_key(next(iter(drawn))).better
        axes.set_xlabel(
            f"{' and '.join(text for text, _, _ in drawn.values())}, %: {better} is better"
        )
        axes.xaxis.set_major_formatter(plain)
        axes.grid(axis="x", color=figures.LINE, lw=0.6)
        name_rows(axes, [*rows])
    legend = [
        legend_key(text, color, mark=MARKERS[marker])
        for drawn in DRAWN
        for text, color, marker in drawn.values()
    ]
    keys = [key for drawn in DRAWN for key in drawn]
    return Drawn("By row", keys, inline_svg(figure, salt="rows"), "%", legend)


def _draw(axes: Any, figure: Mapping[str, Any], y: float, color: str, marker: str) -> None:
    mean, (low, high) = number(figure["mean"]), map(number, figure["interval"])
    below, above = (max(0.0, d) if d == d else 0.0 for d in (mean - low, high - mean))
    axes.errorbar(
        mean,
        y,
        xerr=[[below], [above]],
        fmt=marker,
        ms=6,
        capsize=3,
        lw=1.2,
        color=color,
    )
    seeds = [number(v) for v in figure["seeds"]]
    axes.scatter(seeds, [y] * len(seeds), s=5, color=figures.TEXT, zorder=3, linewidths=0)


# Decimals of a table's measures, in its order; those in PER_CENT are shares of a whole.
MEASURES = {
    "asr": 1, "orr": 1, "f1": 1, "degenerate": 1, "label_accuracy": 1, "ftr": 1, "benign_ftr": 1,
    "benign_likelihood": 1, "kl_conversation": 3, "kl_feedback": 3,
}  # fmt: skip
PER_CENT = ("asr", "orr", "f1", "degenerate", "label_accuracy", "ftr", "benign_ftr")
Interval = Sequence[float | None]  # low, high; None: not known
UNKNOWN: Interval = (None, None)


def summarise(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Row -> measure -> mean, 95 % interval, and each seed's value; of results by row, a seed each.

    The interval is that of the prompts for one seed. For several it reaches as far as the wider one
    of two does at either end: Student's t of the seeds' values, and the mean of their intervals of
    prompts, all seeds being played on the same ones. Equal seeds without such intervals have none:
    their spread alone says nothing. It ends where the measure does, at 0 and at 100 %.
    """
    out: dict[str, dict[str, Any]] = {}
    for name in results[0]:
        out[name] = {}
        for measure in MEASURES:
            values = [of_seed[name].get(measure) for of_seed in results]
            known = [v for v in values if v is not None]
            mean = statistics.fmean(known) if known else None
            prompts = _of_prompts([of_seed[name] for of_seed in results], measure)
            interval = prompts if len(results) == 1 else _of_both(known, prompts)
            low, high = interval
            if len(results) > 1 and low is not None and high is not None:
                most = 100.0 if measure in PER_CENT else math.inf
                interval = [max(0.0, low), min(most, high)]
            out[name][measure] = {"mean": mean, "interval": [*interval], "seeds": values}
    return out


def _of_prompts(results: Sequence[Mapping[str, Any]], measure: str) -> Interval:
    """The mean of the seeds' own intervals."""
    own = [result.get("intervals", {}).get(measure, UNKNOWN) for result in results]
    known = [edges for edges in own if None not in edges]
    if not known:
        return UNKNOWN
    return [statistics.fmean(ends) for ends in zip(*known, strict=True)]


def _of_both(values: Sequence[float], prompts: Interval) -> Interval:
    """From the spread of the ``values``, which for equal ones is none, and that of ``prompts``."""
    low, high = prompts
    if len(values) < 2:
        return UNKNOWN
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    student = round(float(stdtrit(len(values) - 1, 0.975)), 3)  # as tables print it
    half = student * spread / math.sqrt(len(values))
    if low is None or high is None:
        return [mean - half, mean + half] if half else UNKNOWN
    return [min(low, mean - half), max(high, mean + half)]


def cell(figure: Mapping[str, Any], decimals: int) -> str:
    """Mean and interval, ``"97.8 (96.0 to 99.6)"``."""
    if figure["mean"] is None:
        return "-"
    low, high = figure["interval"]
    span = "" if low is None else f" ({low:.{decimals}f} to {high:.{decimals}f})"
    return f"{figure['mean']:.{decimals}f}{span}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
