"""What a run's records come to at its end: ``training_metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from waltzjax.metrics.clock import PARTS
from waltzjax.metrics.events import LAUNCH


def training_metrics(
    stages: Sequence[str],
    seed: int,
    metrics: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    seconds: float,
) -> dict[str, Any]:
    """The content of a run's ``training_metrics.json``.

    Of each stage: "steps"; "training_s", the seconds of its steps; "time_by_part_s", the same by
    part; "tokens" that were learned from, prompts too; "last", the last step's figures. Of the run:
    "launches"; "wall_hours", those of all launches, evaluations and what was lost by a kill too;
    "this_launch_s".

    Args:
      metrics, events: the records of ``metrics.jsonl`` and ``events.jsonl``, in order.
      seconds: how long this launch took.
    """
    by_stage = {}
    for stage in stages:
        steps = [m for m in metrics if m["stage"] == stage]
        if steps:
            parts = {part: sum(m.get(f"time/{part}", 0.0) for m in steps) for part in PARTS}
            by_stage[stage] = {
                "steps": steps[-1]["step"],
                "training_s": sum(m["time_s"] for m in steps),
                "time_by_part_s": parts,
                "tokens": sum(m.get("perf/tokens", 0.0) for m in steps),
                "last": steps[-1],
            }
    return {
        "seed": seed,
        "launches": sum(event["kind"] == LAUNCH for event in events),
        "wall_hours": wall_seconds(metrics, events, seconds) / 3600,
        "this_launch_s": seconds,
        "stages": by_stage,
    }


def wall_seconds(
    metrics: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]], seconds: float
) -> float:
    """Seconds that the run's launches took together: of this one ``seconds``, of an earlier one
    from its "launch" to the last that is known of it."""
    begun = [event["wall_time"] for event in events if event["kind"] == LAUNCH]
    known = sorted(r["wall_time"] for r in (*metrics, *events) if "wall_time" in r)
    total = seconds
    for start, following in pairwise(begun):
        # A clock that was set back between two launches: of the first one nothing is known.
        total += max((t for t in known if start <= t < following), default=start) - start
    return total
