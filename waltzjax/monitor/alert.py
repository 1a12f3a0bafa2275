"""An alert: the figure of a run that broke a rule, and one sentence that says so."""

from __future__ import annotations

import math
from typing import NamedTuple


class Alert(NamedTuple):
    """One episode in which a run breaks a rule.

    run: name of the run; critical: whether the rule asks somebody to act at once.
    stage, step: where the rule fired; stage may be "" (a plain log knows none).
    value: the figure of ``metric`` at that step; ``above``: it is wrong above ``threshold``, else
      below it.
    history: the last (step, value) pairs, oldest first, ``value`` included.
    """

    run: str
    rule: str
    critical: bool
    stage: str
    step: int
    metric: str
    value: float
    above: bool
    threshold: float
    history: tuple[tuple[int, float], ...]


def sentence(alert: Alert) -> str:
    """One line without control characters: "critical: kl of run demo is 0.3124, above 0.2, at step
    1,204 of stage2 (rule kl)"."""
    level = "critical: " if alert.critical else ""
    limit = f", {breach(alert)}," if math.isfinite(alert.value) else ""
    text = (
        f"{level}{alert.metric} of run {alert.run} is {number(alert.value)}{limit} "
        f"at {place(alert)} (rule {alert.rule})"
    )
    return one_line(text)


def breach(alert: Alert) -> str:
    """The side of the threshold that is wrong, "above 0.2"."""
    return f"{'above' if alert.above else 'below'} {number(alert.threshold)}"


def place(alert: Alert) -> str:
    """Step and stage, "step 1,204 of stage2"."""
    return f"step {alert.step:,}" + (f" of {alert.stage}" if alert.stage else "")


def number(value: float) -> str:
    """Four significant digits; "not a number", "infinite" and "minus infinite" in words."""
    if math.isfinite(value):
        return f"{value:.4g}"
    return "not a number" if math.isnan(value) else "infinite" if value > 0 else "minus infinite"


def one_line(text: str) -> str:
    """The text with every run of spaces and control characters as one space."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
