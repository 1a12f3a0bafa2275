"""How fast a stage steps, how long it will take, and whether it stands still."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean, median, pstdev
from typing import Any, NamedTuple, TypeGuard

BLOCKS = 10  # of recent steps, whose means tell how much the speed wanders
RECENT = 200  # steps that the speed is taken of
WIDE = 6.0  # median absolute deviations, as standard ones, beyond which a step is a long one
PAUSES = ("evaluation", "checkpoint")  # kinds of events after which a step may take longer
STARTS = ("launch", "resume")  # kinds of events that begin with a compilation


class Step(NamedTuple):
    """Seconds from one record to the next, a step, and whether a known pause lies between."""

    seconds: float
    pauses: bool


class Pace(NamedTuple):
    """seconds: a step's, with its share of the pauses that come again. left: seconds, with the
    range that they will lie in about nine times of ten; None where nothing is known."""

    seconds: float
    left: float | None
    low: float | None
    high: float | None


def durations(
    records: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]
) -> list[Step]:
    """The steps between records of one stage, by the time they were written, else by "time_s".

    A gap in which the run was launched again is no step.
    """
    times = [(e["wall_time"], e.get("kind")) for e in events if number(e.get("wall_time"))]
    starts = sorted(at for at, kind in times if kind in STARTS)
    pauses = sorted(at for at, kind in times if kind in PAUSES)
    steps = []
    for before, after in pairwise(records):
        done = after["step"] - before["step"]
        begin, end = before.get("wall_time"), after.get("wall_time")
        if done < 1 or before.get("stage") != after.get("stage"):
            continue
        if number(begin) and number(end):
            if end >= begin and not _any_between(starts, begin, end):
                pause = _any_between(pauses, begin, end)
                steps.append(Step((end - begin) / done, pause))
        elif number(after.get("time_s")):
            steps.append(Step(after["time_s"], False))
    return steps


def _any_between(times: Sequence[float], begin: float, end: float) -> bool:
    """Whether one of the sorted times is after ``begin``, and not after ``end``."""
    return bisect_right(times, begin) < bisect_right(times, end)


def number(value: Any) -> TypeGuard[float]:
    """Whether a field of a record is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def estimate(steps: Sequence[Step], left: int | None) -> Pace | None:
    """The pace of recent steps, and the time of ``left`` more; None where there is no step.

    A single long step counts as one of the longest usual ones. Where more than one is long, or an
    evaluation or checkpoint explains it, it will come again: its excess is spread over all steps.
    The range: the means of ten blocks of recent steps spread by s, so that L steps of blocks of B
    take L m, give or take 2 L s sqrt(1/10 + B/L).
    """
    if not steps:
        return None
    recent = [step.seconds for step in steps[-RECENT:]]
    middle = median(recent)
    spread = 1.4826 * median(abs(x - middle) for x in recent)
    usual = max(middle + WIDE * spread, 1.5 * middle)
    capped = [min(x, usual) for x in recent]
    long = [s for s in steps if s.seconds > usual]
    again = long if len(long) > 1 else [s for s in long if s.pauses]
    seconds = fmean(capped) + sum(s.seconds - usual for s in again) / len(steps)
    if left is None:
        return Pace(seconds, None, None, None)
    size = max(1, len(capped) // BLOCKS)
    blocks = [fmean(capped[i : i + size]) for i in range(0, len(capped) - size + 1, size)]
    if len(blocks) < BLOCKS or not left:
        return Pace(seconds, left * seconds, None, None)
    off = 2 * left * pstdev(blocks) * math.sqrt(1 / len(blocks) + size / left)
    return Pace(seconds, left * seconds, max(0.0, left * seconds - off), left * seconds + off)


def longest_quiet(steps: Sequence[Step], may_evaluate: bool) -> float:
    """Seconds without a record after which a stage stands still: thrice the longest recent step,
    ten usual ones, at least a minute; half an hour where it compiles or may be evaluating."""
    known = [step.seconds for step in steps[-RECENT:]]
    least = 1800.0 if may_evaluate or not known else 60.0
    return max([least, *([10 * median(known), 3 * max(known)] if known else [])])
