"""The page of a run, of any kind of training: one HTML file that needs nothing beside it.

It shows a run that is over (``report.html``) or one that goes on: what is not there yet, it says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from waltzjax.report import figures
from waltzjax.report.curves import MACHINE, UPDATE, Panel, draw
from waltzjax.report.figures import Drawn
from waltzjax.report.heats import Heat
from waltzjax.report.history import happened
from waltzjax.report.measures import Estimate, Measure, estimate, number
from waltzjax.report.pages import render, write_page
from waltzjax.report.summary import Target, Tile, tiles
from waltzjax.report.timeline import STAGES, marks
from waltzjax.report.times import PREFIX, times
from waltzjax.report.trust import warnings

PANELS: tuple[Panel, ...] = (
    Panel("Reward", "mean reward", ("reward",), ""),
    Panel("Dynamic improvement reward (DIR)", "−1 to 1", ("dir",), "zero line"),
    Panel("Attack success and over-refusal", "%, lower is better", ("asr", "orr"), "per cent"),
    Panel("Feedback trigger rate (FTR)", "% of prompts", ("ftr",), "per cent"),
    Panel("Label accuracy", "%", ("label_accuracy",), "per cent"),
    Panel("Accuracy, of a step and on validation", "%", ("accuracy", "validation"), "per cent"),
    Panel("Signals, the parts of the reward", "mean", ("signal",), ""),
    Panel("Spread of the signals", "standard deviation", ("signal_std",), ""),
    Panel("Groups without variance", "share of groups", ("frac_zero_std_groups",), ""),
    Panel("Format rate", "%", ("format_rate",), "per cent"),
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
    *MACHINE,
)  # fmt: skip
TIME = Panel("Time", "seconds per step", ("time_s",), "")  # where its parts are not known
VALIDATED = "validation/accuracy"  # evaluations of maths among the steps' figures
TRANSCRIPTS, LETTERS = 400, 1_000_000  # in a page at most
Validations = Sequence[tuple[str, int, Mapping[str, Any]]]  # stage, step, result
Table = tuple[Sequence[str], Sequence[tuple[str, Sequence[Estimate | int]]]]  # header, rows


class Record(NamedTuple):
    """What a run's directory tells, whatever the run trains; what it does not tell is empty."""

    title: str
    config_text: str
    metrics: Sequence[Mapping[str, Any]]  # "stage", "step" and the step's figures; NaN is a gap
    events: Sequence[Mapping[str, Any]] = ()  # "wall_time", "kind", "stage", "step", "text"
    alerts: Sequence[Mapping[str, Any]] = ()  # a rule that fired: "rule", "metric", "value" ...
    environment: Mapping[str, str] = {}  # versions, devices, command, commit
    evaluations: Validations = ()
    state: str = "finished"
    missing: Sequence[str] = ()  # what a run that goes on does not have yet, in words
    more: Sequence[Tile] = ()  # of its summary


class Outcome(NamedTuple):
    """What the evaluations of a run say.

    columns: results by name, in order; the last one is final. {}: there was no evaluation.
    measures: rows of the table of results; over: what an evaluation asks, "prompts".
    bars: keys of the measures that are drawn as bars, of ``BARS``.
    tables: by heading, "By subject"; cells are numbers and rates in per cent.
    transcripts: "title", "opened", "tags", "said" by name, and the question, see ``parts.html``.
    results: the figures as they are written to disk.
    """

    columns: Mapping[str, Mapping[str, Any]] = {}
    measures: Sequence[Measure] = ()
    over: str = "prompts"
    bars: Sequence[str] = ()
    tables: Mapping[str, Table] = {}
    drawings: Sequence[Drawn] = ()
    heats: Sequence[Heat] = ()
    rates: Sequence[Measure] = ()  # columns of the table of evaluations
    validated: str = ""  # the rate that is drawn beside the steps' figures
    transcripts: Sequence[Mapping[str, Any]] = ()
    results: Mapping[str, Any] = {}
    note: str = ""


class Cell(NamedTuple):
    """A figure of a table of results."""

    estimate: Estimate
    first: float  # the one before feedback; NaN: none
    meets: bool | None  # its target
    warned: bool


def cell(result: Mapping[str, Any], measure: Measure) -> Cell:
    figure = estimate(result, measure.key)
    first = number((result.get("initial") or {}).get(measure.key))
    return Cell(figure, first, measure.met(figure.value), bool(warnings(result)))


def write_report(path: Path, record: Record, outcome: Outcome) -> None:
    """Write the run's page to ``path``, whole or not at all. All of it is escaped."""
    write_page(path, "report.html", **_values(record, outcome))


def render_report(record: Record, outcome: Outcome) -> str:
    """The page of a run that goes on; it asks for newer ones of itself."""
    return render("report.html", live=True, **_values(record, outcome))


def _values(record: Record, outcome: Outcome) -> dict[str, Any]:
    timed = times(record.metrics)
    parts = timed and timed.figure
    evaluated = [(stage, step) for stage, step, _ in record.evaluations]
    panels, left_out, _ = draw(
        [*record.metrics, *validation_rows(record.evaluations, outcome.validated)],
        PANELS if parts else (*PANELS, TIME),
        marks(record.events, record.alerts, evaluated),
    )
    if parts:
        left_out = [k for k in left_out if k != "time_s" and not k.startswith(PREFIX)]
    columns = outcome.columns
    final = [*columns.values()][-1] if columns else {}
    table = [(m, [cell(column, m) for column in columns.values()]) for m in outcome.measures]
    targets = [Target(m, cells[-1].estimate.value, cells[-1].warned) for m, cells in table]
    shown = fitting(outcome.transcripts)
    return {
        "title": record.title,
        "record": record,
        "outcome": outcome,
        "steps": len({(row["stage"], row["step"]) for row in record.metrics}),
        "final": final,
        "tiles": [
            *tiles(record.metrics, record.events, record.alerts, timed, targets, record.state),
            *record.more,
        ],
        "targets": [t for t in targets if t.met is not None],
        "table": table,
        "columns": [*columns],
        "with_targets": any(m.relation for m in outcome.measures),
        "bars": [(m, BARS[m.key], cells) for m, cells in table if m.key in outcome.bars],
        "panels": panels,
        "left_out": left_out,
        "marked": {m.kind for m in marks(record.events, record.alerts, evaluated)},
        "times": timed,
        "happened": happened(record.events, record.alerts),
        "evaluated": [
            (
                f"{STAGES.get(stage, stage)}, step {step}",
                [estimate(result, m.key) for m in outcome.rates],
            )
            for stage, step, result in record.evaluations
        ],
        "transcripts": shown,
        "warnings": [f"{name}: {text}" for name, c in columns.items() for text in warnings(c)],
        "results_text": json.dumps(outcome.results, indent=2, default=str),
    }


BARS = {
    "asr": figures.INKS[figures.PURPLE], "orr": figures.INKS[figures.GREEN],
    "accuracy": figures.INKS[figures.BLUE], "format_rate": figures.INKS[figures.ORANGE],
}  # fmt: skip


def validation_rows(validations: Validations, key: str = "accuracy") -> list[dict[str, Any]]:
    """Evaluations as records of their steps, which ``curves.draw`` takes with the others; none
    without a ``key``."""
    return [
        {"stage": stage, "step": step, f"validation/{key}": estimate(result, key)}
        for stage, step, result in validations
        if key
    ]


def fitting(transcripts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first of them that fit into a page."""
    shown: list[Mapping[str, Any]] = []
    letters = 0
    for each in transcripts[:TRANSCRIPTS]:
        letters += len(json.dumps(each, ensure_ascii=False, default=str))
        if letters > LETTERS and shown:
            break
        shown.append(each)
    return shown
