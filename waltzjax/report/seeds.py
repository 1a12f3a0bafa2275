"""Results of several seeds as one table: means and intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

# Decimals of a table's measures, in its order; those in PER_CENT are shares of a whole.
MEASURES = {
    "asr": 1, "orr": 1, "f1": 1, "degenerate": 1, "label_accuracy": 1, "ftr": 1, "ordinary_ftr": 1,
    "ordinary_likelihood": 1, "kl_conversation": 3, "kl_feedback": 3,
}  # fmt: skip
PER_CENT = ("asr", "orr", "f1", "degenerate", "label_accuracy", "ftr", "ordinary_ftr")
# Student's t, two-sided 95 %, of 2 to 10 seeds.
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def summarise(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Row -> measure -> mean, 95 % interval, and each seed's value; of results by row, a seed each.

    The interval is that of the prompts for one seed, of the seeds' mean (Student's t) for several;
    it ends where the measure does, at 0 and at 100 %.
    """
    out: dict[str, dict[str, Any]] = {}
    for name in found[0]:
        out[name] = {}
        for measure in MEASURES:
            values = [of_seed[name].get(measure) for of_seed in found]
            known = [v for v in values if v is not None]
            mean = statistics.fmean(known) if known else None
            if len(found) == 1:
                interval = found[0][name]["intervals"].get(measure, [None, None])
            elif mean is None or len(known) < 2:
                interval = [None, None]
            else:
                half = T_975[len(known) - 2] * statistics.stdev(known) / math.sqrt(len(known))
                most = 100.0 if measure in PER_CENT else math.inf
                interval = [max(0.0, mean - half), min(most, mean + half)]
            out[name][measure] = {"mean": mean, "interval": interval, "seeds": values}
    return out


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
