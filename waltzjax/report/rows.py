"""The page of a table of several rows: its figures, and F1, ASR and ORR drawn with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from waltzjax.report.measures import Measure, by_key, number
from waltzjax.report.pages import inline_svg, write_page
from waltzjax.report.seeds import MEASURES, cell

# Panels of the figure: measure -> label, colour, marker.
DRAWN: tuple[dict[str, tuple[str, str, str]], ...] = (
    {"f1": ("F1", "#1F4E8C", "D")},
    {"asr": ("ASR", "#6A3D9A", "o"), "orr": ("ORR", "#1B7F5C", "s")},
)


def write_rows(
    path: Path, *, title: str, seeds: Sequence[int], rows: Mapping[str, Mapping[str, Any]],
    over: str = "prompts", warnings: Sequence[str] = (), note: str = "",
) -> None:  # fmt: skip
    """Write the page to ``path``, whole or not at all.

    ``rows``: label -> a row of ``report.seeds.summarise``; ``over``: what the seeds' own intervals
    are over, "12 frames"; ``warnings``, ``note``: of ``report.trust``. All of it is escaped.
    """
    shown: list[tuple[Measure, int]] = [(by_key(key), of) for key, of in MEASURES.items()]
    table = [
        (label, [cell(row[m.key], decimals) for m, decimals in shown])
        for label, row in rows.items()
    ]
    write_page(
        path, "rows.html", title=title, seeds=seeds, over=over, measures=[m for m, _ in shown],
        table=table, figure=_forest(rows), warnings=warnings, note=note,
    )  # fmt: skip


def _forest(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Inline SVG: a line a row; mean and interval, and small the seeds behind them."""
    figure = Figure(figsize=(9.6, 1.2 + 0.42 * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(DRAWN), sharey=True)
    for axes, drawn in zip(panels, DRAWN, strict=True):
        for (key, (text, color, marker)), offset in zip(
            drawn.items(), (0.0,) if len(drawn) == 1 else (-0.15, 0.15), strict=True
        ):
            for y, row in enumerate(rows.values()):
                _draw(axes, row[key], y + offset, color, marker, text if y == 0 else "_")
        better = by_key(next(iter(drawn))).better
        axes.set_xlabel(
            f"{' and '.join(text for text, _, _ in drawn.values())}, %: {better} is better"
        )
        axes.grid(axis="x", color="#dddddd", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(rows)), list(rows), parse_math=False)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    return inline_svg(figure, salt="rows")


def _draw(
    axes: Any, figure: Mapping[str, Any], y: float, color: str, marker: str, label: str
) -> None:
    mean, (low, high) = number(figure["mean"]), map(number, figure["interval"])
    below, above = (max(0.0, d) if d == d else 0.0 for d in (mean - low, high - mean))
    axes.errorbar(
        mean, y, xerr=[[below], [above]], fmt=marker, ms=6, capsize=3, lw=1.2, color=color,
        label=label,
    )  # fmt: skip
    seeds = [number(v) for v in figure["seeds"]]
    axes.scatter(seeds, [y] * len(seeds), s=5, color="black", zorder=3, linewidths=0)
