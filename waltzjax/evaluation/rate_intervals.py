"""Intervals of a table of rates and of their differences, each by what suits it.

A rate is a ratio of what units (episodes, problems) add up to: ``above`` and ``below``, [units,
rates]. Its ``span`` is its least and its largest value: a rate within PER_CENT is a share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from waltzjax.evaluation.bootstrap import Rates, percentiles, resampled
from waltzjax.evaluation.intervals import Edges, like_sized, share_edges, unseen, widened

PER_CENT = (0.0, 100.0)
Spans = Mapping[str, tuple[float, float]]  # in the order of the arrays' columns


class Counts(NamedTuple):
    """Of units; ``trials``: of how many outcomes each one's numbers are."""

    above: np.ndarray
    below: np.ndarray
    trials: np.ndarray


class Draws(NamedTuple):
    """How units are drawn: their ``clusters`` [units], by a ``seed``, ``resamples`` times; and the
    ``level`` of the intervals."""

    clusters: np.ndarray
    seed: int
    resamples: int
    level: float


def rate_edges(rates: Rates, spans: Spans, counts: Counts, draws: Draws) -> dict[str, Edges]:
    """Of all that ``rates`` gives: of shares ``intervals.share_edges``, else the bootstrap's, where
    there is a span ``widened`` by what is ``unseen``."""
    found = _bootstrap(rates, draws, counts)
    exact = share_edges(*counts, draws.clusters, draws.level)
    value, absent = totals(rates, counts), unseen_shares(spans, draws, counts)
    for column, (name, span) in enumerate(spans.items()):
        if span == PER_CENT:
            found[name] = Edges(100 * exact.low[column], 100 * exact.high[column])
        else:
            found[name] = widened(found[name], value[name], absent[name], span)
    return found


def difference_edges(
    rates: Rates, spans: Spans, a: Counts, b: Counts, draws: Draws
) -> dict[str, Edges]:
    """Of all that ``rates`` gives, b - a, by a paired bootstrap; ``widened`` likewise."""
    found = _bootstrap(rates, draws, a, b)
    before, after = totals(rates, a), totals(rates, b)
    absent = unseen_shares(spans, draws, a, b)
    for name, (least, most) in spans.items():
        span = (least - most, most - least)
        found[name] = widened(found[name], after[name] - before[name], absent[name], span)
    return found


def totals(rates: Rates, counts: Counts) -> dict[str, np.ndarray]:
    """The rates of all units."""
    found = rates(*(x.sum(0, keepdims=True) for x in (counts.above, counts.below)))
    return {name: value[0] for name, value in found.items()}


def unseen_shares(spans: Spans, draws: Draws, *of: Counts) -> dict[str, np.ndarray]:
    """``intervals.unseen`` of each rate, by the one of these counts that has fewer outcomes."""
    n = np.min([counts.trials.sum(0) for counts in of], axis=0)
    groups = np.min([like_sized(counts.trials, draws.clusters) for counts in of], axis=0)
    return dict(zip(spans, unseen(n, groups, draws.level), strict=True))


def _bootstrap(rates: Rates, draws: Draws, *of: Counts) -> dict[str, Edges]:
    """Of a table's rates, or of what the second one's are above the first one's."""
    clusters, seed, resamples, level = draws
    drawn = [resampled(rates, c.above, c.below, clusters, seed, resamples) for c in of]
    values = drawn[-1]
    if len(drawn) > 1:
        values = {name: value - drawn[0][name] for name, value in values.items()}
    return percentiles(values, level)
