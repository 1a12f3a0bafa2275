"""The run report: one HTML file, self-contained, of curves, before/after table and transcripts.

A run on maths has its accuracy by subject and level, and answers in the transcripts' place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from waltzjax.report.curves import STAGES, UPDATE, Panel, draw
from waltzjax.report.measures import MATHS, Measure, estimate, maths_measures, number, shown
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


def write_report(
    path: Path,
    *,
    title: str,
    config_text: str,
    metrics: list[dict],
    results: dict,
    transcripts: list[dict],
) -> None:
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
        path,
        "report.html",
        title=title,
        config_text=config_text,
        transcripts=transcripts,
        steps=count,
        left_out=left_out,
        panels=panels,
        table=table,
        columns=[*columns],
        results=results,
        warnings=[f"{name}: {text}" for name, c in columns.items() for text in warnings(c)],
        note=note(results),
        results_text=json.dumps(results, indent=2, default=str),
    )


MATHS_PANELS: tuple[Panel, ...] = (
    Panel("Accuracy, of a step and on validation", "%", ("accuracy", "validation"),
          "per cent"),
    Panel("Reward", "mean reward", ("reward",), ""),
    Panel("Signals", "mean", ("signal",), ""),
    Panel("Spread of the signals", "standard deviation", ("signal_std",), ""),
    Panel("Groups without variance", "share of groups", ("frac_zero_std_groups",), ""),
    Panel("Format rate", "% of samples", ("format_rate",), "per cent"),
    Panel("No answer to verify", "% of samples", ("unparsed", "timed_out", "cut_off"), "per cent"),
    Panel("Length of an answer", "tokens", ("tokens_mean",), ""),
    Panel("Loss of pairs, without the likelihood term", "loss", ("pair_loss",), ""),
    Panel("Pairs told apart", "share of pairs", ("rewards/accuracies",), ""),
    Panel("Rewards of a pair", "nats", ("rewards/margins", "rewards/chosen", "rewards/rejected"),
          "zero line"),
    Panel("Log-probability of an answer", "nats", ("logps/chosen", "logps/rejected"), ""),
    Panel("Chosen answers, −log-likelihood", "nats a token", ("sft_nll",), ""),
    *UPDATE,
    Panel("Padding", "share of the update’s tokens", ("padding",), ""),
)  # fmt: skip
VALIDATED = "validation/accuracy"
COLUMNS = ("accuracy", "format_rate", "reflect", "unparsed", "cut_off", "tokens")
Validations = Sequence[tuple[str, int, Mapping[str, Any]]]  # stage, step, result


def validation_rows(validations: Validations) -> list[dict[str, Any]]:
    """Evaluations as records of their steps, which ``curves.draw`` takes with the others."""
    return [
        {"stage": stage, "step": step, VALIDATED: estimate(result, "accuracy")}
        for stage, step, result in validations
    ]


def write_maths_report(
    path: Path,
    *,
    title: str,
    config_text: str,
    metrics: Sequence[Mapping[str, Any]],
    results: Mapping[str, Any],
    validations: Validations,
    examples: Mapping[str, Mapping[str, Any]],
    note: str = "",
) -> None:
    """Write the report to ``path``, whole or not at all.

    ``metrics``: "stage", "step" and the step's figures; ``results``: the last evaluation's result,
    with "base" in it that of the beginning (or none); ``validations``: all evaluations, as
    ``evaluation.files.validations`` gives them; ``examples``: by title, as ``side_by_side`` gives
    them; ``note``: a line below the title. All of it is escaped.
    """
    panels, left_out, _ = draw([*metrics, *validation_rows(validations)], MATHS_PANELS)
    before = results.get("base")
    columns = {"before": before, "after": results} if before else {"after": results}
    table = [
        (m, [estimate(column, m.key) for column in columns.values()])
        for m in maths_measures(results.get("samples", 2))
    ]
    parts = {
        what: [
            (name, rates["n"], [_part(c, key, name) for c in columns.values()])
            for name, rates in results.get(key, {}).items()
        ]
        for what, key in (("By subject", "subjects"), ("By level", "levels"))
    }
    evaluated = [
        (f"{STAGES.get(stage, stage)}, step {step}", [estimate(result, key) for key in COLUMNS])
        for stage, step, result in validations
    ]
    write_page(
        path,
        "maths_run.html",
        title=title,
        note=note,
        results=results,
        columns=[*columns],
        table=table,
        parts_of={what: rows for what, rows in parts.items() if rows},
        evaluated=evaluated,
        measures=[m for key in COLUMNS for m in MATHS if m.key == key],
        panels=panels,
        left_out=left_out,
        steps=len({(m["stage"], m["step"]) for m in metrics}),
        examples=examples,
        config_text=config_text,
        results_text=json.dumps(results, indent=2, default=str),
    )


def _part(result: Mapping[str, Any], key: str, name: str) -> tuple[float, float]:
    """Accuracy and format rate of a subject or a level."""
    rates = result.get(key, {}).get(name, {})
    return number(rates.get("accuracy")), number(rates.get("format_rate"))
