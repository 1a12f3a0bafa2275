"""The run report: one HTML file, self-contained, of curves, before/after table and transcripts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from waltzjax.report.measures import Measure, number, shown
from waltzjax.report.pages import inline_svg, write_page

# Panel: (title, y label, metric names, kind of y axis). A metric belongs to a panel when it is one
# of the names, or one with a slash and more. The rest are listed as "Recorded, not drawn".
PANELS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("Reward", "mean reward", ("reward",), ""),
    ("Dynamic improvement reward (DIR)", "mean, −1 to 1", ("dir",), "zero line"),
    ("Attack success and over-refusal", "%, lower is better", ("asr", "orr"), "per cent"),
    ("Feedback trigger rate (FTR)", "% of prompts", ("ftr",), "per cent"),
    ("Label accuracy and format rate", "%", ("label_accuracy", "format_rate"), "per cent"),
    ("KL to the reference", "nats", ("kl",), ""),
    ("Clip fraction", "share of tokens", ("clip_fraction",), ""),
    ("Sampler–trainer gap", "|Δ log p|, log scale", ("gap_max", "gap_mean"), "log"),
    ("Loss", "loss", ("loss",), ""),
    ("Entropy", "nats per token", ("entropy",), ""),
    ("Gradient norm", "norm", ("grad_norm",), ""),
    ("Time", "seconds per step", ("time_s",), ""),
)
STAGES = {"sft": "SFT", "stage1": "stage 1", "stage2": "stage 2", "single": "one model"}
AGENTS = {"conversation": "#0072B2", "feedback": "#D55E00"}  # told apart by their dashes too


def _timeline(metrics: list[dict]) -> tuple[list[dict], dict[str, int]]:
    """Rows with "x", the step counted on across stages (whether or not each stage counts anew), and
    the first x of every stage. Of a step that a resumed run repeats, the later figures hold."""
    merged: dict[tuple[str, int], dict] = {}
    for row in metrics:
        merged.setdefault((row["stage"], row["step"]), {}).update(row)
    starts: dict[str, int] = {}
    offset, last = 0, -1
    for (stage, step), row in merged.items():
        if stage not in starts and starts and step <= last:
            offset += last + (step == 0)  # a count from 0 needs a place of its own
        row["x"], last = offset + step, step
        starts.setdefault(stage, row["x"])
    return list(merged.values()), starts


def _panel(rows: list[dict], starts: dict[str, int], keys: list[str], y: str, kind: str) -> str:
    """Inline SVG of the metrics `keys`: raw values faint, their mean within a stage on top."""
    axes = (figure := Figure(figsize=(4.6, 2.9), layout="constrained")).subplots()
    names = list(dict.fromkeys(key.split("/")[0] for key in keys))
    for key in keys:
        name, _, part = key.partition("/")
        label = key.replace("_", " ").replace("/", " · ") if len(names) > 1 else part or name
        color = AGENTS.get(part, ("#6A3D9A", "#1B7F5C")[names.index(name) % 2])
        dash = ("-", "--", "-.", ":")[(2 * names.index(name) + (part == "feedback")) % 4]
        for stage in starts:
            here = [row for row in rows if row["stage"] == stage and key in row]
            x, raw = [row["x"] for row in here], np.array([number(row[key]) for row in here])
            raw[raw <= 0] *= math.nan if kind == "log" else 1  # a log scale has no place for it
            known, window = np.isfinite(raw), np.ones(max(1, min(50, len(raw) // 12)))
            if known.any():
                total = np.convolve(np.where(known, raw, 0), window)[: len(raw)]
                mean = total / np.where(known, np.convolve(known, window)[: len(raw)], math.nan)
                form = "." if len(raw) <= 200 else "-"  # each point costs some 100 bytes
                axes.plot(x, raw, form, lw=0.5, ms=3, color=color, alpha=0.3)
                axes.plot(x, mean, dash, lw=1.6, color=color, label=label)
                label = "_"  # one entry in the legend
    low, high = axes.dataLim.intervaly
    if kind == "log" and high > 0:
        axes.set_yscale("log")
    elif kind == "zero line":
        axes.axhline(0, color="#888888", lw=0.8)
    elif kind == "per cent":
        axes.set_ylim(0 if low < 50 else None, min(102, max(1, 1.15 * high)))
    ends = [*starts.values(), rows[-1]["x"]]
    for stage, x, end in zip(starts, ends, ends[1:], strict=False):
        narrow = end - x < ends[-1] / 6  # level, the label would run into the next one
        axes.axvline(x, color="#bbbbbb", lw=0.8, zorder=0)
        axes.text(x, 1.01, f" {STAGES.get(stage, stage)}", va="top" if narrow else "bottom",
                  rotation=90 * narrow, size=8, transform=axes.get_xaxis_transform())  # fmt: skip
    axes.set(xlabel="step", ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    if len(keys) > 1:
        figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return inline_svg(figure, salt=keys[0])


def _cell(figures: dict, measure: Measure) -> dict[str, object]:
    """A figure, the one before feedback (NaN: none), and whether the figure meets its target."""
    value = number(figures.get(measure.key))
    first = number((figures.get("initial") or {}).get(measure.key))
    return {"value": value, "first": first, "meets": measure.met(value)}


def write_report(path: Path, *, title: str, config_text: str, metrics: list[dict], results: dict,
                 transcripts: list[dict]) -> None:  # fmt: skip
    """Write the report to `path`, whole or not at all.

    `metrics`: "stage", "step" and the step's figures (rates in per cent, "time_s" seconds; NaN is a
    gap); `results`: final figures, "initial" (before feedback), "base", "start", "sft", "stage1"
    (all optional); `transcripts`: "title", "category", "prompt", "harmful", "turns". All of it is
    escaped.
    """
    rows, starts = _timeline(metrics)
    keys = [k for k in dict.fromkeys(k for r in rows for k in r) if k not in ("stage", "step", "x")]
    finite = sorted(k for k in keys if any(math.isfinite(number(row.get(k))) for row in rows))
    groups = [([k for k in finite if k.split("/")[0] in panel[2]], panel) for panel in PANELS]
    panels = [(p[0], mine, _panel(rows, starts, mine, p[1], p[3])) for mine, p in groups if mine]
    final = f"{STAGES.get([*starts][-1], [*starts][-1])} (final)" if starts else "final"
    columns = {STAGES.get(k, k): results[k] for k in ("base", "start", *STAGES) if results.get(k)}
    columns[final] = results
    table = [
        (*measure, [_cell(c, measure) for c in columns.values()])
        for measure in shown(columns.values())
    ]
    write_page(
        path, "report.html",
        title=title, config_text=config_text, transcripts=transcripts, steps=len(rows),
        left_out=[k for k in keys if not any(k in mine for mine, _ in groups)], panels=panels,
        table=table, columns=[*columns], results=results,
        results_text=json.dumps(results, indent=2, default=str),
    )  # fmt: skip
