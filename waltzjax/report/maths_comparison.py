"""The report of runs on the same maths problems: each against the first, and all their curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from waltzjax.report.comparison import Difference, forest
from waltzjax.report.curves import Drawn, Panel, draw
from waltzjax.report.maths_run import VALIDATED
from waltzjax.report.pages import write_page

SHOWN = 10  # problems that one alone solves, of each way
# metric: title, y label, kind of y axis; a panel each, a line a run.
OVERLAID: dict[str, tuple[str, str, str]] = {
    VALIDATED: ("Validation accuracy", "%", "per cent"),
    "accuracy": ("Accuracy of a step’s samples", "%", "per cent"),
    "reward/policy": ("Reward", "mean reward", ""),
    "signal/verify": ("Signal: verify", "mean", ""),
    "signal/format": ("Signal: format", "mean", ""),
    "signal/reflect": ("Signal: reflect", "mean", ""),
    "format_rate": ("Format rate", "% of samples", "per cent"),
    "tokens_mean": ("Length of an answer", "tokens", ""),
    "zero_groups": ("Groups without variance", "share of groups", ""),
    "kl/policy": ("KL to the reference", "nats", ""),
    "entropy/policy": ("Entropy", "nats per token", ""),
}


class Section(NamedTuple):
    """One run against the first."""

    letter: str
    differences: Sequence[Difference]
    parts: Mapping[str, Sequence[Difference]]  # "By subject", "By level"
    only: Mapping[str, Sequence[Mapping[str, Any]]]  # what: as maths_pairs.side_by_side gives them


def write_maths_comparison(
    path: Path, *, runs: Mapping[str, str], n: int, evaluated: Sequence[str],
    trained: Sequence[str], sections: Sequence[Section],
    metrics: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:  # fmt: skip
    """Write the report to ``path``, whole or not at all.

    ``runs``: names by letter, "A" the first; ``n``: problems; ``evaluated``, ``trained``: what the
    runs were not evaluated or trained alike in; ``metrics``: of each run by letter, see
    ``overlay``. All of it is escaped.
    """
    write_page(
        path, "maths_comparison.html", title="Runs compared", runs=runs, n=n, evaluated=evaluated,
        trained=trained, sections=sections, panels=overlay(metrics), shown=SHOWN,
        figures={s.letter: forest(s.differences, "A", s.letter) for s in sections},
    )  # fmt: skip


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
