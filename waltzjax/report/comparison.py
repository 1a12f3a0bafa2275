"""The report of evaluations compared, each with the first: differences, curves, what changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from waltzjax.report import figures
from waltzjax.report.curves import Panel, draw
from waltzjax.report.figures import Drawn, inline_svg, name_rows, new_axes, plain
from waltzjax.report.pages import write_page
from waltzjax.report.run import VALIDATED

SHOWN = 20  # changed questions, of each way
BETTER, WORSE, NEITHER, NOTHING = "better", "worse", "no difference shown", "not measured"
MORE, LESS = "more", "less"  # where neither is better
COLORS = {
    BETTER: figures.GOOD, WORSE: figures.BAD, NEITHER: figures.SOFT, MORE: figures.SOFT,
    LESS: figures.SOFT,
}  # fmt: skip
SCALES = {"%": 1, "nats": 1, "": 100}  # unit: what a difference is drawn times
ARROWS = {"lower": " ↓", "higher": " ↑", "": ""}


class Difference(NamedTuple):
    """A measure of a and of b, b - a with its interval, and what that says of b."""

    name: str
    unit: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    better: str  # "lower" | "higher" | "": neither

    @property
    def reading(self) -> str:
        if not all(map(math.isfinite, (self.difference, self.low, self.high))):
            return NOTHING
        if self.low <= 0 <= self.high:
            return NEITHER
        if not self.better:
            return MORE if self.difference > 0 else LESS
        return BETTER if (self.difference > 0) == (self.better == "higher") else WORSE


class Section(NamedTuple):
    """One run against the first; ``unknown``: of how many questions one of the two has no word."""

    letter: str
    differences: Sequence[Difference]
    parts: Mapping[str, Sequence[Difference]]  # "By subject", "By level"
    # Changed pairs, each with the question, and under "said" what each run said to it.
    changed: Mapping[str, Sequence[Mapping[str, Any]]]
    unknown: int = 0


def write_comparison(
    path: Path,
    *,
    what: str,
    runs: Mapping[str, str],
    n: int,
    sections: Sequence[Section],
    over: str,
    metrics: Mapping[str, Sequence[Mapping[str, Any]]],
    evaluated: Sequence[str] = (),
    trained: Sequence[str] = (),
    warnings: Sequence[str] = (),
    note: str = "",
) -> None:
    """Write the report to ``path``, whole or not at all.

    ``what``: is compared, ``n`` "prompts" or "problems"; ``runs``: names by letter, "A" the first;
    ``over``: what the intervals are over, "12 frames"; ``metrics``: of each run by letter, see
    ``overlay``; ``evaluated``, ``trained``: what the runs were not evaluated or trained alike in;
    ``warnings``, ``note``: of ``report.trust``. All of it is escaped.
    """
    write_page(
        path,
        "comparison.html",
        title="Evaluations compared",
        what=what,
        runs=runs,
        n=n,
        over=over,
        evaluated=evaluated,
        trained=trained,
        warnings=warnings,
        note=note,
        sections=sections,
        panels=overlay(metrics),
        shown=SHOWN,
        figures={s.letter: forest(s.differences, "A", s.letter) for s in sections},
    )


def forest(measured: Sequence[Difference], a: str, b: str) -> str:
    """Inline SVG: b - a a line, with its interval; what has no unit times 100, and only what can
    stand on one axis with per cent. "": none was measured."""
    differences = [d for d in measured if d.reading != NOTHING and d.unit in SCALES]
    if not differences:
        return ""
    height = 0.5 + 0.36 * len(differences)
    figure, axes = new_axes(height, left=0.03, top=1, bottom=0.45 / height)
    for y, d in enumerate(differences):
        scale = SCALES[d.unit]
        below, above = max(0.0, d.difference - d.low), max(0.0, d.high - d.difference)
        axes.errorbar(
            scale * d.difference,
            y,
            xerr=[[scale * below], [scale * above]],
            fmt="o",
            ms=6,
            capsize=3,
            lw=1.4,
            color=COLORS[d.reading],
            mfc=figures.CARD if d.reading == NEITHER else COLORS[d.reading],
        )
    axes.axvline(0, color=figures.SOFT, lw=0.9)
    names = [f"{d.name}{ARROWS[d.better]}" for d in differences]
    names = [n if d.unit else f"{n} × 100" for n, d in zip(names, differences, strict=True)]
    name_rows(axes, names)
    axes.xaxis.set_major_formatter(plain)
    axes.set_xlabel(f"{b} − {a}, 95 % intervals; filled: off zero")
    axes.grid(axis="x", color=figures.LINE, lw=0.6)
    return inline_svg(figure, salt=f"differences-{a}-{b}")


# metric: title, y label, kind of y axis; a panel each, a line a run.
OVERLAID: dict[str, tuple[str, str, str]] = {
    VALIDATED: ("Validation accuracy", "%", "per cent"),
    "accuracy": ("Accuracy of a step’s samples", "%", "per cent"),
    "reward/policy": ("Reward", "mean reward", ""),
    "reward/conversation": ("Reward, conversation agent", "mean reward", ""),
    "reward/feedback": ("Reward, feedback agent", "mean reward", ""),
    "asr": ("Attack success of a step’s episodes", "%", "per cent"),
    "orr": ("Over-refusal of a step’s episodes", "%", "per cent"),
    "ftr": ("Feedback trigger rate", "% of prompts", "per cent"),
    "label_accuracy": ("Label accuracy", "%", "per cent"),
    "signal/verify": ("Signal: verify", "mean", ""),
    "signal/format": ("Signal: format", "mean", ""),
    "signal/reflect": ("Signal: reflect", "mean", ""),
    "format_rate": ("Format rate", "%", "per cent"),
    "tokens_mean": ("Length of an answer", "tokens", ""),
    "frac_zero_std_groups": ("Groups without variance", "share of groups", ""),
    "kl/policy": ("KL to the reference", "nats", ""),
    "kl/conversation": ("KL to the reference, conversation agent", "nats", ""),
    "kl/feedback": ("KL to the reference, feedback agent", "nats", ""),
    "entropy/policy": ("Entropy", "nats per token", ""),
}


def overlay(metrics: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Drawn]:
    """The panels of OVERLAID that a run has something for; of each run its last stage."""
    names = {metric: metric.replace("/", " ") for metric in OVERLAID}
    rows = []
    for letter, records in metrics.items():
        for row in records:
            if row["stage"] == records[-1]["stage"]:
                own = {f"{names[k]}/{letter}": v for k, v in row.items() if k in names}
                rows.append({"stage": "", "step": row["step"], **own})
    panels = [
        Panel(title, y, (names[metric],), kind) for metric, (title, y, kind) in OVERLAID.items()
    ]
    return [_told(panel) for panel in draw(rows, panels)[0]]


def _told(panel: Drawn) -> Drawn:
    """A single line has no legend, so the title says whose it is."""
    if len(panel.keys) > 1:
        return panel
    return panel._replace(title=f"{panel.title}, {panel.keys[0].split('/')[1]} alone")
