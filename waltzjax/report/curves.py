"""Training curves: the metrics of a run in panels, steps counted on across its stages."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from waltzjax.report.measures import Estimate, number
from waltzjax.report.pages import inline_svg


class Panel(NamedTuple):
    """A metric belongs to a panel when it is one of ``names``, or one with a slash and more."""

    title: str
    y: str
    names: tuple[str, ...]
    kind: str  # of y axis: "" | "zero line" | "per cent" | "log"


class Drawn(NamedTuple):
    title: str
    keys: list[str]
    svg: str


UPDATE: tuple[Panel, ...] = (  # of any policy's update
    Panel("KL to the reference", "nats per token", ("kl", "kl_k1"), ""),
    Panel("Clip fraction", "share of tokens", ("clip_fraction",), ""),
    Panel("Sampler–trainer gap", "|Δ log p|, log scale", ("gap_max", "gap_mean"), "log"),
    Panel("Loss", "loss", ("loss",), ""),
    Panel("Entropy", "nats per token", ("entropy",), ""),
    Panel("Gradient norm", "norm", ("grad_norm",), ""),
    Panel("Change of what is trained", "norm", ("change_norm",), ""),
    Panel("Time", "seconds per step", ("time_s",), ""),
)
STAGES = {
    "sft": "SFT", "stage1": "stage 1", "stage2": "stage 2", "single": "one model", "rlvr": "RLVR",
    "dpo": "DPO",
}  # fmt: skip
# Parts of a metric's name after the slash, which are agents, signals or runs compared: the colour,
# and by how many of DASHES the line differs from the others of the same name.
PARTS = {
    "conversation": ("#0072B2", 0), "feedback": ("#D55E00", 1),
    "verify": ("#0072B2", 0), "format": ("#D55E00", 1), "reflect": ("#1B7F5C", 2),
    "overlong": ("#6A3D9A", 3),
    "A": ("#0072B2", 0), "B": ("#D55E00", 1), "C": ("#1B7F5C", 2), "D": ("#6A3D9A", 3),
    "E": ("#8A5A00", 0), "F": ("#5C6470", 1),
}  # fmt: skip
NAMES = ("#6A3D9A", "#1B7F5C", "#8A5A00", "#0072B2")  # of metrics without such a part
DASHES = ("-", "--", "-.", ":")


def draw(
    metrics: Sequence[Mapping[str, Any]], panels: Sequence[Panel]
) -> tuple[list[Drawn], list[str], int]:
    """The panels that have something to draw, the metrics that are in none, how many steps.

    ``metrics``: "stage", "step" and the step's figures; NaN is a gap, an ``Estimate`` has a bar.
    """
    rows, starts = timeline(metrics)
    keys = [k for k in dict.fromkeys(k for r in rows for k in r) if k not in ("stage", "step", "x")]
    finite = sorted(k for k in keys if any(math.isfinite(_value(row.get(k))) for row in rows))
    groups = [(p, [k for k in finite if split_name(k, p.names)[0] in p.names]) for p in panels]
    drawn = [Drawn(p.title, mine, _panel(rows, starts, mine, p)) for p, mine in groups if mine]
    return drawn, [k for k in keys if not any(k in mine for _, mine in groups)], len(rows)


def split_name(key: str, names: Collection[str]) -> tuple[str, str]:
    """A metric's (name, part), "rewards/chosen/policy" being ("rewards/chosen", "policy"): its name
    is the longest of ``names`` that it begins with, else what stands before its first "/"."""
    known = [name for name in names if key == name or key.startswith(f"{name}/")]
    name = max(known, key=len, default=key.partition("/")[0])
    return name, key[len(name) + 1 :]


def timeline(
    metrics: Sequence[Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Rows with "x", the step counted on across stages (whether or not each stage counts anew), and
    the first x of every stage. Of a step that a resumed run repeats, the later figures hold."""
    merged: dict[tuple[str, int], dict[str, Any]] = {}
    for row in metrics:
        merged.setdefault((row["stage"], row["step"]), {}).update(row)
    order = [*dict.fromkeys(stage for stage, _ in merged)]
    starts: dict[str, int] = {}
    rows, offset, last = [], 0, -1
    for stage, step in sorted(merged, key=lambda key: (order.index(key[0]), key[1])):
        if stage not in starts and starts and step <= last:
            offset += last + (step == 0)  # a count from 0 needs a place of its own
        rows.append(merged[stage, step] | {"x": offset + step})
        last = step
        starts.setdefault(stage, offset + step)
    return rows, starts


def _value(figure: object) -> float:
    return number(figure.value if isinstance(figure, Estimate) else figure)


def _panel(
    rows: Sequence[Mapping[str, Any]], starts: Mapping[str, int], keys: Sequence[str], panel: Panel
) -> str:
    """Inline SVG of the metrics ``keys``: raw values faint, their mean within a stage on top."""
    axes = (figure := Figure(figsize=(4.6, 2.9), layout="constrained")).subplots()
    names = list(dict.fromkeys(split_name(key, panel.names)[0] for key in keys))
    for key in keys:
        name, part = split_name(key, panel.names)
        label = key.replace("_", " ").replace("/", " · ") if len(names) > 1 else part or name
        color, shift = PARTS.get(part, (NAMES[names.index(name) % len(NAMES)], 0))
        dash = DASHES[(2 * names.index(name) + shift) % len(DASHES)]
        for stage in starts:
            here = [row for row in rows if row["stage"] == stage and key in row]
            _line(axes, here, key, panel.kind == "log", color=color, dash=dash, label=label)
            if any(math.isfinite(_value(row[key])) for row in here):
                label = "_"  # one entry in the legend
    low, high = axes.dataLim.intervaly
    if panel.kind == "log" and high > 0:
        axes.set_yscale("log")
    elif panel.kind == "zero line":
        axes.axhline(0, color="#888888", lw=0.8)
    elif panel.kind == "per cent":
        axes.set_ylim(0 if low < 50 else None, min(102, max(1, 1.15 * high)))
    ends = [*starts.values(), rows[-1]["x"]]
    for stage, x, end in zip(starts, ends, ends[1:], strict=False):
        narrow = end - x < ends[-1] / 6  # level, the label would run into the next one
        axes.axvline(x, color="#bbbbbb", lw=0.8, zorder=0)
        axes.text(
            x,
            1.01,
            f" {STAGES.get(stage, stage)}",
            va="top" if narrow else "bottom",
            rotation=90 * narrow,
            size=8,
            transform=axes.get_xaxis_transform(),
        )
    axes.set(xlabel="step", ylabel=panel.y)
    axes.spines[["top", "right"]].set_visible(False)
    if len(keys) > 1:
        figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return inline_svg(figure, salt=keys[0])


def _line(
    axes: Any,
    here: Sequence[Mapping[str, Any]],
    key: str,
    log: bool,
    *,
    color: str,
    dash: str,
    label: str,
) -> None:
    """One metric of one stage: its values, their trailing mean, and the bars of estimates."""
    x, raw = [row["x"] for row in here], np.array([_value(row[key]) for row in here])
    raw[raw <= 0] *= math.nan if log else 1  # a log scale has no place for it
    known, window = np.isfinite(raw), np.ones(max(1, min(50, len(raw) // 12)))
    if not known.any():
        return
    total = np.convolve(np.where(known, raw, 0), window)[: len(raw)]
    mean = total / np.where(known, np.convolve(known, window)[: len(raw)], math.nan)
    form = "." if len(raw) <= 200 else "-"  # each point costs some 100 bytes
    axes.plot(x, raw, form, lw=0.5, ms=3, color=color, alpha=0.3)
    axes.plot(x, mean, dash, lw=1.6, color=color, label=label)
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
