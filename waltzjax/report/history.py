"""What happened in a run, in the order of the clock: launches, evaluations, alerts, its end."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from waltzjax.report.measures import number
from waltzjax.report.timeline import STAGES

LAUNCH = "launch"  # the kind of the event with which a process begins
LAST = 200  # shown
NOT_SHOWN = ("checkpoint",)  # there are many and nobody asks for them


class Happening(NamedTuple):
    when: str
    kind: str
    where: str  # "stage 2, step 40"
    text: str
    bad: bool


def happened(
    events: Sequence[Mapping[str, Any]], alerts: Sequence[Mapping[str, Any]]
) -> list[Happening]:
    """The last ``LAST`` of them."""
    both = [
        *((e, e["kind"], e.get("text", ""), False) for e in events if e["kind"] not in NOT_SHOWN),
        *((a, "alert", _sentence(a), bool(a.get("critical"))) for a in alerts),
    ]
    both.sort(key=lambda item: number(item[0].get("wall_time")))
    return [
        Happening(moment(row.get("wall_time")), kind, place(row), str(text), bad)
        for row, kind, text, bad in both[-LAST:]
    ]


def _sentence(alert: Mapping[str, Any]) -> str:
    value, threshold = number(alert.get("value")), number(alert.get("threshold"))
    side = "above" if alert.get("above") else "below"
    rule = alert.get("rule", "")
    return f"{rule}: {alert['metric']} is {value:.4g}, {side} {threshold:.4g}"


def place(row: Mapping[str, Any]) -> str:
    """A record's stage and step, "stage 2, step 40"; "": it has none."""
    stage, step = row.get("stage"), row.get("step")
    if not stage:
        return ""
    return f"{STAGES.get(stage, stage)}" + (f", step {step}" if step else "")


def moment(wall_time: object) -> str:
    """Unix seconds as "2026-11-30 22:13:38", UTC; "": not known."""
    seconds = number(wall_time)
    if seconds != seconds:
        return ""
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M:%S}"
