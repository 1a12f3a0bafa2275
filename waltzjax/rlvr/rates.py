"""The rates that are reported of answered maths problems, with intervals over problems.

A problem's value is the mean over its samples, a rate the mean over problems: avg@k. What no sample
of a problem has (a signal that was not computed) is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from waltzjax.evaluation import rates
from waltzjax.evaluation.rates import PER_CENT, Counts, RateTable
from waltzjax.types import Attempt, Group

UNNAMED = "(none)"  # of problems without a subject where others have one


def _signal(attempt: Attempt, name: str) -> float:
    return attempt.signals.get(name, math.nan)


def _formatted(attempt: Attempt) -> float:
    value = _signal(attempt, "format")
    return value if math.isnan(value) else float(value == 1)


# The value of a sample, and its span.
RATES: dict[str, tuple[Callable[[Attempt], float], tuple[float, float]]] = {
    "accuracy": (lambda a: float(a.right), PER_CENT),
    "format_rate": (_formatted, PER_CENT),  # the format signal is 1
    "reflect": (lambda a: _signal(a, "reflect"), (0.0, 1.0)),
    "unparsed": (lambda a: float(not a.parsed), PER_CENT),  # no final answer could be read
    "timed_out": (lambda a: float(a.timed_out), PER_CENT),
    "cut_off": (lambda a: float(a.completion.finish_reason == "length"), PER_CENT),
    "tokens": (lambda a: float(len(a.completion.token_ids)), (0.0, math.inf)),
}
PASS = "pass_at_k"  # problems with a right sample among their K


def asked(group: Group) -> tuple[str, str]:
    """A problem's text and label: two problems with both alike are the same."""
    return group.problem.text, group.problem.answer


def _counts(groups: Sequence[Group]) -> Counts:
    """A problem's means over its samples, 0 where none is known; whether one is; how many are:
    [problems, rates]; pass_at_k last, which has one outcome a problem."""
    above = np.zeros((len(groups), len(RATES) + 1))
    trials = np.zeros_like(above)
    for row, group in enumerate(groups):
        if not group.attempts:
            raise ValueError(f"problem {group.problem.id}: no samples; wanted is at least one")
        values = [[measure(a) for a in group.attempts] for measure, _ in RATES.values()]
        values.append([float(any(a.right for a in group.attempts))])
        for column, outcomes in enumerate(values):
            known = [v for v in outcomes if not math.isnan(v)]
            if known:
                above[row, column], trials[row, column] = sum(known) / len(known), len(known)
    return Counts(above, (trials > 0).astype(float), trials)


TABLE = RateTable(
    what="problems",
    spans={**{name: span for name, (_, span) in RATES.items()}, PASS: PER_CENT},
    f1={},
    counts=_counts,
    cluster=lambda group: "",
    asked=asked,
)
# Rates of answered problems; see ``evaluation.rates``.
summary = partial(rates.summary, TABLE)
intervals = partial(rates.intervals, TABLE)
difference_intervals = partial(rates.difference_intervals, TABLE)


def by_subject(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """The answered problems of each subject, by name; none where no problem has one."""
    return _by(groups, lambda g: g.problem.subject)


def by_level(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """The answered problems of each level, numbers in order; none where no problem has a level."""
    return _by(groups, lambda g: g.problem.level)


def result(groups: Sequence[Group], *, seed: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The report of an evaluation: ``summary``, and with it ``n`` problems of ``samples`` each,
    ``intervals`` (95 %, over problems), ``subjects`` and ``levels`` (name -> accuracy, format_rate,
    n), and the ``settings`` it was made with.

    Raises:
      ValueError: there are no problems, or not as many samples of each.
    """
    counts = sorted({len(g.attempts) for g in groups})
    if len(counts) != 1:
        raise ValueError(
            f"an evaluation: got {len(groups)} problems of {counts} samples; wanted are problems, "
            "all with the same number of samples"
        )
    return {
        **summary(groups),
        "n": len(groups),
        "samples": counts[0],
        "seed": seed,
        "settings": dict(settings),
        "intervals": intervals(groups, seed=seed),
        "subjects": _table(by_subject(groups)),
        "levels": _table(by_level(groups)),
    }


def _table(parts: Mapping[str, Sequence[Group]]) -> dict[str, dict[str, float]]:
    summaries = {name: (summary(groups), len(groups)) for name, groups in parts.items()}
    return {
        name: {"accuracy": s["accuracy"], "format_rate": s["format_rate"], "n": n}
        for name, (s, n) in summaries.items()
    }


def _by(groups: Sequence[Group], key: Callable[[Group], str]) -> dict[str, list[Group]]:
    parts: dict[str, list[Group]] = {}
    for group in groups:
        parts.setdefault(key(group) or UNNAMED, []).append(group)
    if set(parts) == {UNNAMED}:
        return {}
    order = sorted(parts, key=lambda name: (int(name) if name.isdecimal() else math.inf, name))
    return {name: parts[name] for name in order}
