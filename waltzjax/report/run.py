"""The run report: one HTML file, self-contained, of curves, before/after table and transcripts."""

from __future__ import annotations

import json
from pathlib import Path

from waltzjax.report.curves import STAGES, UPDATE, Panel, draw
from waltzjax.report.measures import Measure, number, shown
from waltzjax.report.pages import write_page
from waltzjax.report.trust import note, warnings

PANELS: tuple[Panel, ...] = (
    Panel("Reward", "mean reward", ("reward",), ""),
    Panel("Dynamic improvement reward (DIR)", "mean, −1 to 1", ("dir",), "zero line"),
    Panel("Attack success and over-refusal", "%, lower is better", ("asr", "orr"), "per cent"),
    Panel("Feedback trigger rate (FTR)", "% of prompts", ("ftr",), "per cent"),
    Panel("Label accuracy and format rate", "%", ("label_accuracy", "format_rate"), "per cent"),
    *UPDATE,
)


def _cell(figures: dict, measure: Measure) -> dict[str, object]:
    """A figure, the one before feedback (NaN: none), whether the figure meets its target, and
    whether it is warned of."""
    value = number(figures.get(measure.key))
    first = number((figures.get("initial") or {}).get(measure.key))
    warned = bool(warnings(figures))
    return {"value": value, "first": first, "meets": measure.met(value), "warned": warned}


def write_report(path: Path, *, title: str, config_text: str, metrics: list[dict], results: dict,
                 transcripts: list[dict]) -> None:  # fmt: skip
    """Write the report to `path`, whole or not at all.

    `metrics`: "stage", "step" and the step's figures (rates in per cent, "time_s" seconds; NaN is a
    gap); `results`: final figures, "initial" (before feedback), "base", "start", "sft", "stage1"
    (all optional); `transcripts`: "title", "category", "prompt", "harmful", "turns". All of it is
    escaped.
    """
    panels, left_out, count = draw(metrics, PANELS)
    stages = [*dict.fromkeys(row["stage"] for row in metrics)]
    final = f"{STAGES.get(stages[-1], stages[-1])} (final)" if stages else "final"
    columns = {STAGES.get(k, k): results[k] for k in ("base", "start", *STAGES) if results.get(k)}
    columns[final] = results
    table = [
        (*measure, [_cell(c, measure) for c in columns.values()])
        for measure in shown(columns.values())
    ]
    write_page(
        path, "report.html",
        title=title, config_text=config_text, transcripts=transcripts, steps=count,
        left_out=left_out, panels=panels,
        table=table, columns=[*columns], results=results,
        warnings=[f"{name}: {text}" for name, c in columns.items() for text in warnings(c)],
        note=note(results), results_text=json.dumps(results, indent=2, default=str),
    )  # fmt: skip
