"""A run's steps on one line: counted on across its stages, and where something happened on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

STAGES = {
    "sft": "SFT", "stage1": "stage 1", "stage2": "stage 2", "single": "one model", "rlvr": "RLVR",
    "dpo": "DPO",
}  # fmt: skip
RESUME, ALERT, EVALUATION = "resume", "alert", "evaluation"  # kinds of marks
NO_FIGURE = ("stage", "step", "x", "wall_time")  # of a record


class Mark(NamedTuple):
    """What happened in a run, at a step (0: before the stage's first)."""

    kind: str  # RESUME | ALERT | EVALUATION
    stage: str
    step: int
    metric: str = ""  # an alert's


class Timeline(NamedTuple):
    rows: list[dict[str, Any]]  # the records, each with "x": its step counted on across stages
    starts: dict[str, int]  # of each stage its first record's x
    offsets: dict[str, int]  # of each stage what its steps are counted on from

    def x(self, mark: Mark) -> int:
        """The place of a mark of one of its stages."""
        return self.offsets[mark.stage] + mark.step


def timeline(metrics: Sequence[Mapping[str, Any]]) -> Timeline:
    """``metrics`` ("stage", "step" and the step's figures) on one line, whether or not each stage
    counts its steps anew. Of a step that a resumed run repeats, the later figures hold."""
    merged: dict[tuple[str, int], dict[str, Any]] = {}
    for row in metrics:
        merged.setdefault((row["stage"], row["step"]), {}).update(row)
    order = {stage: i for i, stage in enumerate(dict.fromkeys(stage for stage, _ in merged))}
    out = Timeline([], {}, {})
    offset, last = 0, -1
    for stage, step in sorted(merged, key=lambda key: (order[key[0]], key[1])):
        if stage not in out.starts:
            if out.starts and step <= last:
                offset += last + (step == 0)  # a count from 0 needs a place of its own
            out.starts[stage], out.offsets[stage] = offset + step, offset
        out.rows.append(merged[stage, step] | {"x": offset + step})
        last = step
    return out


def marks(
    events: Sequence[Mapping[str, Any]],
    alerts: Sequence[Mapping[str, Any]],
    evaluated: Sequence[tuple[str, int]],
) -> list[Mark]:
    """The marks of a run: where it was resumed (of ``events``), what it was warned of, and where it
    was ``evaluated``, (stage, step)."""
    return [
        *(Mark(RESUME, e["stage"], e["step"]) for e in events if e["kind"] == RESUME),
        *(Mark(EVALUATION, stage, step) for stage, step in evaluated),
        *(Mark(ALERT, a["stage"], a["step"], a["metric"]) for a in alerts),
    ]
