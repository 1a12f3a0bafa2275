"""Training curves: the metrics of a run in panels, with marks at what happened during it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

from waltzjax.report import figures
from waltzjax.report.figures import BAD, SOFT, Drawn, Key, inline_svg, legend_key, new_axes, plain
from waltzjax.report.measures import Estimate, number
from waltzjax.report.timeline import (
    ALERT,
    EVALUATION,
    NO_FIGURE,
    RESUME,
    STAGES,
    Mark,
    Timeline,
    timeline,
)


class Panel(NamedTuple):
    """A metric belongs to a panel when it is one of ``names``, or one with a slash and more."""

    title: str
    y: str
    names: tuple[str, ...]
    kind: str  # of y axis: "" | "zero line" | "per cent" | "log"


UPDATE: tuple[Panel, ...] = (  # of any policy's update
    Panel("KL to the reference", "nats per token", ("kl", "kl_k1"), ""),
    Panel("Clip fraction", "share of tokens", ("clip_fraction",), ""),
    Panel("Sampler–trainer gap", "|Δ log p|, log scale", ("gap_max", "gap_mean"), "log"),
    Panel("Loss", "loss", ("loss",), ""),
    Panel("Entropy", "nats per token", ("entropy",), ""),
    Panel("Gradient norm", "norm", ("grad_norm",), ""),
    Panel("Change of what is trained", "norm", ("change_norm",), ""),
)
MACHINE: tuple[Panel, ...] = (
    Panel("Throughput", "tokens per second", ("perf/tokens_per_s",), ""),
    Panel("Use of the device", "share of what it has",
          ("perf/mfu", "device/utilization", "device/memory_share"), ""),
    Panel("Device memory", "GiB", ("device/memory_gib",), ""),
)  # fmt: skip
# Parts of a metric's name after the slash, which are agents, signals or runs compared: the colour,
# and by how many of DASHES the line differs from the others of the same name.
PARTS = {
    "conversation": (figures.BLUE, 0), "feedback": (figures.ORANGE, 1),
    "verify": (figures.BLUE, 0), "format": (figures.ORANGE, 1), "reflect": (figures.GREEN, 2),
    "overlong": (figures.PURPLE, 3),
    "A": (figures.BLUE, 0), "B": (figures.ORANGE, 1), "C": (figures.GREEN, 2),
    "D": (figures.PURPLE, 3), "E": (figures.BROWN, 0), "F": (figures.SOFT, 1),
}  # fmt: skip
# Of metrics without such a part.
NAMES = (figures.PURPLE, figures.GREEN, figures.BROWN, figures.BLUE)
DASHES = ("-", "--", "-.", ":")
POINTS = 200  # of a line, at most; of more, the lowest and the highest of each stretch
LETTER = 0.021  # of the axes' width, a stage's name


def draw(
    metrics: Sequence[Mapping[str, Any]], panels: Sequence[Panel], marks: Sequence[Mark] = ()
) -> tuple[list[Drawn], list[str], int]:
    """The panels that have something to draw, the metrics that are in none, how many steps.

    ``metrics``: "stage", "step" and the step's figures; NaN is a gap, an ``Estimate`` has a bar.
    """
    line = timeline(metrics)
    keys = [k for k in dict.fromkeys(k for r in line.rows for k in r) if k not in NO_FIGURE]
    finite = sorted(k for k in keys if any(math.isfinite(_value(row.get(k))) for row in line.rows))
    groups = [(p, [k for k in finite if split_name(k, p.names)[0] in p.names]) for p in panels]
    drawn = [_panel(line, mine, p, marks) for p, mine in groups if mine]
    left_out = [k for k in keys if not any(k in mine for _, mine in groups)]
    return drawn, left_out, len(line.rows)


def split_name(key: str, names: Collection[str]) -> tuple[str, str]:
    """A metric's (name, part), "rewards/chosen/policy" being ("rewards/chosen", "policy"): its name
    is the longest of ``names`` that it begins with, else what stands before its first "/"."""
    known = [name for name in names if key == name or key.startswith(f"{name}/")]
    name = max(known, key=len, default=key.partition("/")[0])
    return name, key[len(name) + 1 :]


def _value(figure: object) -> float:
    return number(figure.value if isinstance(figure, Estimate) else figure)


def _panel(line: Timeline, keys: Sequence[str], panel: Panel, marks: Sequence[Mark]) -> Drawn:
    """The metrics ``keys``: raw values faint, their mean within a stage on top."""
    figure, axes = new_axes(2.4)
    names = list(dict.fromkeys(split_name(key, panel.names)[0] for key in keys))
    legend: list[Key] = []
    for key in keys:
        name, part = split_name(key, panel.names)
        label = key.replace("_", " ").replace("/", " · ") if len(names) > 1 else part or name
        color, shift = PARTS.get(part, (NAMES[names.index(name) % len(NAMES)], 0))
        dash = DASHES[(2 * names.index(name) + shift) % len(DASHES)]
        legend.append(legend_key(label, color, dash))
        for stage in line.starts:
            here = [row for row in line.rows if row["stage"] == stage and key in row]
            _line(axes, here, key, panel.kind == "log", color=color, dash=dash)
    _y_axis(axes, panel)
    x_axis(axes, line, [line.x(m) for m in marks if m.stage in line.offsets])
    _draw_marks(axes, line, keys, panel, marks)
    svg = inline_svg(figure, salt=keys[0])
    return Drawn(panel.title, keys, svg, panel.y, legend if len(keys) > 1 else ())


def _y_axis(axes: Any, panel: Panel) -> None:
    low, high = axes.dataLim.intervaly
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if panel.kind == "log" and high > 0:
        axes.set_yscale("log")
        decades = math.log10(high / low) > 1.5
        axes.yaxis.set_major_locator(LogLocator(numticks=6) if decades else MaxNLocator(4))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif panel.kind == "zero line":
        axes.axhline(0, color=SOFT, lw=0.8)
    elif panel.kind == "per cent":
        axes.set_ylim(0 if low < 50 else None, min(102, max(1, 1.15 * high)))
    elif low == high == 0:
        axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(plain)
    axes.grid(axis="y", color=figures.LINE, lw=0.6)


def x_axis(axes: Any, line: Timeline, others: Sequence[float] = ()) -> None:
    """Steps, with room for what happened at ``others``, and over the axes the stages' names, each
    where its stage begins."""
    first, last = (end(line.rows[0]["x"], line.rows[-1]["x"], *others) for end in (min, max))
    pad = max(0.5, (last - first) / 40)
    axes.set_xlim(first - pad, last + pad)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(plain)
    axes.set_xlabel("step")
    span, begins = last - first + 2 * pad, [*line.starts.values(), last + pad]
    taken: list[tuple[float, float]] = []
    stages = zip(line.starts, begins, begins[1:], strict=False)
    for stage, x, end in sorted(stages, key=lambda s: s[1] - s[2]):  # the longest first
        axes.axvline(x, color=figures.LINE, lw=0.8, zorder=0)
        name = STAGES.get(stage, stage)
        upright = (end - x) / span < LETTER * (len(name) + 1)
        reach = x + span * LETTER * (3 if upright else len(name) + 1)
        if all(reach <= low or x >= high for low, high in taken):
            taken.append((x, reach))
            _name_stage(axes, x, name, upright)


def _name_stage(axes: Any, x: float, name: str, upright: bool) -> None:
    """Above the axes, or within them where a stage is so short that its name must stand upright."""
    text = axes.text(
        x,
        0.98 if upright else 1.03,
        name if upright else f" {name}",
        va="top" if upright else "bottom",
        rotation=90 * upright,
        size=figures.SIZE,
        color=SOFT,
        transform=axes.get_xaxis_transform(),
    )
    text.set_parse_math(False)


def _draw_marks(
    axes: Any, line: Timeline, keys: Sequence[str], panel: Panel, marks: Sequence[Mark]
) -> None:
    """Restarts as dashed lines, evaluations as diamonds on the axis, alerts as rings around the
    values of the metric that they are of."""
    place = axes.get_xaxis_transform()
    for mark in marks:
        if mark.stage not in line.offsets:
            continue
        x = line.x(mark)
        if mark.kind == RESUME:
            axes.axvline(x + 0.5, color=SOFT, lw=1, ls=(0, (3, 2)))
        elif mark.kind == EVALUATION:
            axes.plot(
                x, 0, "D", color=SOFT, ms=4.5, mfc=figures.CARD, transform=place, clip_on=False
            )
        elif mark.kind == ALERT:
            for key in keys:
                if mark.metric in (key, split_name(key, panel.names)[0]):
                    here = [
                        r for r in line.rows if r["x"] == x and math.isfinite(_value(r.get(key)))
                    ]
                    y = [_value(row[key]) for row in here]
                    axes.plot([x] * len(y), y, "o", mec=BAD, mfc="none", mew=1.6, ms=8, zorder=5)


def _line(
    axes: Any, here: Sequence[Mapping[str, Any]], key: str, log: bool, *, color: str, dash: str
) -> None:
    """One metric of one stage: its values, their trailing mean, and the bars of estimates."""
    x, raw = np.array([row["x"] for row in here]), np.array([_value(row[key]) for row in here])
    raw[raw <= 0] *= math.nan if log else 1  # a log scale has no place for it
    known, window = np.isfinite(raw), np.ones(max(1, min(50, len(raw) // 12)))
    if not known.any():
        return
    total = np.convolve(np.where(known, raw, 0), window)[: len(raw)]
    mean = total / np.where(known, np.convolve(known, window)[: len(raw)], math.nan)
    form = "." if len(raw) <= POINTS else "-"  # each point costs some 100 bytes
    axes.plot(*thinned(x, raw), form, lw=0.5, ms=3, color=color, alpha=0.35)
    axes.plot(*thinned(x, mean), dash, lw=1.6, color=color)
    bars = [(row["x"], row[key]) for row in here if isinstance(row[key], Estimate)]
    if bars:
        axes.errorbar(
            [x for x, _ in bars],
            [e.value for _, e in bars],
            fmt="o",
            ms=4,
            capsize=3,
            lw=1.2,
            color=color,
            yerr=[
                [max(0.0, e.value - e.low) for _, e in bars],
                [max(0.0, e.high - e.value) for _, e in bars],
            ],
        )


def thinned(x_N: np.ndarray, y_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of more than 2 * POINTS points the lowest and the highest of POINTS equal stretches, in their
    order, so that no peak is lost; a stretch without a finite value stays a gap."""
    if len(x_N) <= 2 * POINTS:
        return x_N, y_N
    keep = set()
    for stretch in np.array_split(np.arange(len(x_N)), POINTS):
        values = y_N[stretch]
        if np.isnan(values).all():
            keep.add(stretch[0])
        else:
            keep |= {stretch[np.nanargmin(values)], stretch[np.nanargmax(values)]}
    index = sorted(keep)
    return x_N[index], y_N[index]
