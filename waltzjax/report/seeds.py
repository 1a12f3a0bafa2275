"""Results of several seeds as one table: means and intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.special import stdtrit

# Decimals of a table's measures, in its order; those in PER_CENT are shares of a whole.
MEASURES = {
    "asr": 1, "orr": 1, "f1": 1, "degenerate": 1, "label_accuracy": 1, "ftr": 1, "ordinary_ftr": 1,
    "ordinary_likelihood": 1, "kl_conversation": 3, "kl_feedback": 3,
}  # fmt: skip
PER_CENT = ("asr", "orr", "f1", "degenerate", "label_accuracy", "ftr", "ordinary_ftr")
Interval = Sequence[float | None]  # low, high; None: not known
UNKNOWN: Interval = (None, None)


def summarise(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Row -> measure -> mean, 95 % interval, and each seed's value; of results by row, a seed each.

    The interval is that of the prompts for one seed. For several it reaches as far as the wider one
    of two does at either end: Student's t of the seeds' values, and the mean of their intervals of
    prompts, all seeds being played on the same ones. Equal seeds without such intervals have none:
    their spread alone says nothing. It ends where the measure does, at 0 and at 100 %.
    """
    out: dict[str, dict[str, Any]] = {}
    for name in found[0]:
        out[name] = {}
        for measure in MEASURES:
            values = [of_seed[name].get(measure) for of_seed in found]
            known = [v for v in values if v is not None]
            mean = statistics.fmean(known) if known else None
            prompts = _of_prompts([of_seed[name] for of_seed in found], measure)
            interval = prompts if len(found) == 1 else _of_both(known, prompts)
            low, high = interval
            if len(found) > 1 and low is not None and high is not None:
                most = 100.0 if measure in PER_CENT else math.inf
                interval = [max(0.0, low), min(most, high)]
            out[name][measure] = {"mean": mean, "interval": [*interval], "seeds": values}
    return out


def _of_prompts(results: Sequence[Mapping[str, Any]], measure: str) -> Interval:
    """The mean of the seeds' own intervals."""
    own = [result.get("intervals", {}).get(measure, UNKNOWN) for result in results]
    known = [edges for edges in own if None not in edges]
    if not known:
        return UNKNOWN
    return [statistics.fmean(ends) for ends in zip(*known, strict=True)]


def _of_both(values: Sequence[float], prompts: Interval) -> Interval:
    """From the spread of the ``values``, which for equal ones is none, and that of ``prompts``."""
    low, high = prompts
    if len(values) < 2:
        return UNKNOWN
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    student = round(float(stdtrit(len(values) - 1, 0.975)), 3)  # as tables print it
    half = student * spread / math.sqrt(len(values))
    if low is None or high is None:
        return [mean - half, mean + half] if half else UNKNOWN
    return [min(low, mean - half), max(high, mean + half)]


def cell(figure: Mapping[str, Any], decimals: int) -> str:
    """Mean and interval, ``"97.8 (96.0 to 99.6)"``."""
    if figure["mean"] is None:
        return "-"
    low, high = figure["interval"]
    span = "" if low is None else f" ({low:.{decimals}f} to {high:.{decimals}f})"
    return f"{figure['mean']:.{decimals}f}{span}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
