"""The summary of a run: a few figures, and which targets are met."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from waltzjax.report.history import LAUNCH
from waltzjax.report.measures import Measure, number
from waltzjax.report.timeline import STAGES
from waltzjax.report.times import Times


class Tile(NamedTuple):
    name: str
    value: str
    small: str = ""
    state: str = ""  # "met" | "missed" | "": neither


class Target(NamedTuple):
    """A measure of the last evaluation. ``warned``: its value says little."""

    measure: Measure
    value: float
    warned: bool

    @property
    def met(self) -> bool | None:
        """None: there is no target, or no value."""
        return self.measure.met(self.value)


def tiles(
    metrics: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    alerts: Sequence[Mapping[str, Any]],
    times: Times | None,
    targets: Sequence[Target],
    state: str,
) -> list[Tile]:
    """What a reader wants to know first; what is not known has no tile."""
    out = [Tile("State", state)]
    decided = [t for t in targets if t.met is not None]
    if decided:
        met = sum(bool(t.met) and not t.warned for t in decided)
        good = "met" if met == len(decided) else "missed"
        out.append(Tile("Targets met", f"{met} of {len(decided)}", "of the last evaluation", good))
    out.append(_steps(metrics, events))
    if times:
        small = f"{times.step_s:.3g} s a step, the median"
        out.append(Tile("Time in steps", clock(times.total_s), small))
    speeds = [number(row.get("perf/tokens_per_s")) for row in metrics]
    known = [v for v in speeds if v == v]
    if known:
        out.append(Tile("Tokens per second", f"{statistics.median(known):,.0f}", "median"))
    launches = [e for e in events if e["kind"] == LAUNCH]
    if launches:
        out.append(Tile("Launches", f"{len(launches)}"))
    critical = sum(bool(a.get("critical")) for a in alerts)
    if alerts:
        small = f"{critical} critical" if critical else "none critical"
        out.append(Tile("Alerts", f"{len(alerts)}", small, "missed" if critical else ""))
    return out


def _steps(metrics: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> Tile:
    done: dict[str, int] = {}
    for row in metrics:
        done[row["stage"]] = max(row["step"], done.get(row["stage"], 0))
    planned: dict[str, int] = {}
    for event in events:
        planned |= event.get("total_steps") or {}
    names = [*dict.fromkeys([*planned, *done])]
    known = planned.keys() >= done.keys() and planned
    value = f"{sum(done.values())}" + (f" of {sum(planned.values())}" if known else "")
    small = [f"{STAGES.get(n, n)}: {done.get(n, 0)}" for n in names] if len(names) > 1 else []
    return Tile("Steps", value, ", ".join(small))


def clock(seconds: float) -> str:
    """Seconds in words: "12 s", "3 min 05 s", "2 h 07 min"."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    if hours:
        return f"{hours} h {m:02d} min"
    return f"{m} min {s:02d} s" if minutes else f"{s} s"
