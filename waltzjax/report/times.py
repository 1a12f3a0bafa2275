"""Time by part of the step: a stack over the steps of a run, and what each part takes of it all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from waltzjax.report import figures
from waltzjax.report.curves import x_axis
from waltzjax.report.figures import Drawn, Key, inline_svg, legend_key, new_axes, plain
from waltzjax.report.measures import number
from waltzjax.report.timeline import timeline

PREFIX = "time/"
COLORS = {
    "generate": figures.BLUE, "judge": figures.ORANGE, "score": figures.PURPLE,
    "reference": figures.BROWN, "update": figures.GREEN, "save": figures.PINK,
    "host": figures.SOFT,
}  # fmt: skip
OTHERS = figures.SOFT  # parts of another name
STRETCHES = 120  # drawn side by side, at most: of more steps, the means of equal stretches
HIGHEST = 2.0  # drawn, times the 95th percentile: a step that compiles would flatten all others


class Part(NamedTuple):
    """What a part of the step took of a whole run."""

    name: str
    ink: str
    seconds: float  # mean of a step
    share: float  # of the steps' time, 0 to 1


class Times(NamedTuple):
    """``parts`` and ``figure`` are empty where only whole steps were timed."""

    total_s: float
    step_s: float  # median
    parts: Sequence[Part]
    figure: Drawn | None
    cut: bool  # a step is higher than the figure


def times(metrics: Sequence[Mapping[str, Any]]) -> Times | None:
    """Of a run's records with "time_s" and, in newer ones, its parts "time/NAME", all in seconds;
    None: nothing was timed."""
    line = timeline(metrics)
    rows = [row for row in line.rows if number(row.get("time_s")) == number(row.get("time_s"))]
    if not rows:
        return None
    whole_N = np.array([number(row["time_s"]) for row in rows])
    names = {key for row in rows for key in row if key.startswith(PREFIX)}
    order = [n for n in (PREFIX + name for name in COLORS) if n in names]
    order += sorted(names - {*order})
    part_KN = np.nan_to_num(np.array([[number(row.get(n)) for row in rows] for n in order]))
    times = Times(float(whole_N.sum()), float(np.median(whole_N)), (), None, False)
    if not part_KN.sum() > 0:
        return times
    shares = part_KN.sum(axis=1) / part_KN.sum()
    labels = [name.removeprefix(PREFIX) for name in order]
    parts = [
        Part(label, figures.INKS[COLORS.get(label, OTHERS)], float(seconds), float(share))
        for label, seconds, share in zip(labels, part_KN.mean(axis=1), shares, strict=True)
    ]
    top = HIGHEST * float(np.percentile(part_KN.sum(axis=0), 95))
    cut = bool(part_KN.sum(axis=0).max() > top)
    edges_N = np.array([row["x"] for row in rows])
    svg = _stack(line._replace(rows=rows), edges_N, part_KN, labels, top if cut else None)
    legend: list[Key] = [legend_key(n, COLORS.get(n, OTHERS), mark="■") for n in labels]
    drawn = Drawn("Time by part of the step", order, svg, "seconds per step", legend)
    return times._replace(parts=parts, figure=drawn, cut=cut)


def _stack(
    line: Any, x_N: np.ndarray, part_KN: np.ndarray, labels: Sequence[str], top: float | None
) -> str:
    """Inline SVG: bars of steps or of equal stretches of them, the parts one upon another."""
    figure, axes = new_axes(2.4)
    cells = np.array_split(np.arange(len(x_N)), min(len(x_N), STRETCHES))
    left = np.array([x_N[cell[0]] - 0.5 for cell in cells])
    width = np.append(left[1:], x_N[-1] + 0.5) - left
    below = np.zeros(len(cells))
    for label, part_N in zip(labels, part_KN, strict=True):
        height = np.array([part_N[cell].mean() for cell in cells])
        steps = np.append(np.stack([below, below + height]), [[0], [0]], axis=1)
        steps[:, -1] = steps[:, -2]
        axes.fill_between(
            np.append(left, left[-1] + width[-1]),
            *steps,
            step="post",
            lw=0,
            color=COLORS.get(label, OTHERS),
        )
        below += height
    axes.set_ylim(0, top)
    axes.yaxis.set_major_formatter(plain)
    x_axis(axes, line)
    return inline_svg(figure, salt="times")
