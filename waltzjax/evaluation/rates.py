"""A table of rates of evaluated items, and the intervals of each and of differences, as suits it.

A rate is a ratio of what items (episodes, answered problems) add up to: ``above`` and ``below``,
[items, rates].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from waltzjax.evaluation.bootstrap import RESAMPLES, percentiles, resampled
from waltzjax.evaluation.intervals import (
    LEVEL,
    Edges,
    cluster_ids,
    like_sized,
    of_two,
    share_edges,
    unseen,
    widened,
)

PER_CENT = (0.0, 100.0)
Spans = Mapping[str, tuple[float, float]]
Intervals = dict[str, tuple[float, float]]


class Counts(NamedTuple):
    """Numerators and denominators of each item's rates, [items, rates] each; ``trials``: how many
    outcomes an item's numbers are of."""

    above: np.ndarray
    below: np.ndarray
    trials: np.ndarray


class RateTable(NamedTuple):
    """The rates of one kind of evaluation.

    what: its items are of, "prompts".
    spans: each rate's least and largest value, in the order of the columns of ``counts``; a rate
      within PER_CENT is a share times 100.
    f1: name -> two such rates, as of ``f1_score``.
    counts: items -> their counts.
    cluster: an item -> the name of what is drawn with it; "": it is drawn alone.
    asked: an item -> what makes two items those of one question.
    """

    what: str
    spans: Spans
    f1: Mapping[str, tuple[str, str]]
    counts: Callable[[Sequence[Any]], Counts]
    cluster: Callable[[Any], str]
    asked: Callable[[Any], Hashable]


class Draws(NamedTuple):
    """How items are drawn: their ``clusters`` [items], by a ``seed``, ``resamples`` times; and the
    ``level`` of the intervals."""

    clusters: np.ndarray
    seed: int
    resamples: int
    level: float


def summary(table: RateTable, items: Sequence[Any]) -> dict[str, float]:
    """The rates of all items; NaN where nothing was counted."""
    return {name: float(value) for name, value in _totals(table, table.counts(items)).items()}


def intervals(
    table: RateTable,
    items: Sequence[Any],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Intervals:
    """The intervals of what ``summary`` gives, for other items, or, where these have clusters, for
    other clusters; NaN likewise.

    Shares have ``intervals.share_edges``, other rates the bootstrap's, ``widened`` by what is
    ``unseen``; F1 has the wider of the bootstrap's, which knows how its two rates move together,
    and that of their intervals, which never collapses.
    """
    counts, draws = (
        table.counts(items),
        Draws(cluster_numbers(table, items), seed, resamples, level),
    )
    edges, value = _bootstrap(table, draws, counts), _totals(table, counts)
    exact, absent = share_edges(*counts, draws.clusters, level), unseen_shares(table, draws, counts)
    for column, (name, span) in enumerate(table.spans.items()):
        if span == PER_CENT:
            edges[name] = Edges(100 * exact.low[column], 100 * exact.high[column])
        else:
            edges[name] = widened(edges[name], value[name], absent[name], span)
    for name, (a, b) in table.f1.items():
        left_a, left_b = (Edges(100 - edges[x].high, 100 - edges[x].low) for x in (a, b))
        apart = of_two(_harmonic, 100 - value[a], 100 - value[b], left_a, left_b)
        edges[name] = edges[name].hull(apart)
    return _floats(edges)


def difference_intervals(
    table: RateTable,
    a: Sequence[Any],
    b: Sequence[Any],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Intervals:
    """The intervals of b - a, by a paired bootstrap ``widened`` by what is ``unseen``: both are of
    the same questions, which are drawn together, those of a cluster too.

    Raises:
      ValueError: they are not of the same questions in the same order.
    """
    if [table.asked(item) for item in a] != [table.asked(item) for item in b]:
        raise ValueError(f"two evaluations compared: their {table.what} differ, or their order")
    ours, theirs = table.counts(a), table.counts(b)
    draws = Draws(cluster_numbers(table, a), seed, resamples, level)
    edges = _bootstrap(table, draws, ours, theirs)
    before, after = _totals(table, ours), _totals(table, theirs)
    absent = unseen_shares(table, draws, ours, theirs)
    spans = {**table.spans, **dict.fromkeys(table.f1, PER_CENT)}
    for name, (least, most) in spans.items():
        share = max(absent[part] for part in table.f1.get(name, (name,)))
        change = after[name] - before[name]
        edges[name] = widened(edges[name], change, share, (least - most, most - least))
    return _floats(edges)


def f1_score(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The harmonic mean of what two rates in per cent, of errors, leave of 100; 0: nothing."""
    return _harmonic(100 - a, 100 - b)


def cluster_numbers(table: RateTable, items: Sequence[Any]) -> np.ndarray:
    """[items], int: the same number for items that are drawn together."""
    return cluster_ids([table.cluster(item) for item in items])


def unseen_shares(table: RateTable, draws: Draws, *evaluations: Counts) -> dict[str, np.ndarray]:
    """``intervals.unseen`` of each rate, by the one of ``evaluations`` that has fewer outcomes."""
    n = np.min([counts.trials.sum(0) for counts in evaluations], axis=0)
    groups = np.min([like_sized(counts.trials, draws.clusters) for counts in evaluations], axis=0)
    return dict(zip(table.spans, unseen(n, groups, draws.level), strict=True))


def _totals(table: RateTable, counts: Counts) -> dict[str, np.ndarray]:
    sums = (x.sum(0, keepdims=True) for x in (counts.above, counts.below))
    return {name: value[0] for name, value in _values(table, *sums).items()}


def _values(table: RateTable, above: np.ndarray, below: np.ndarray) -> dict[str, np.ndarray]:
    """The rates, [N] each, of sums over items, [N, rates]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(below > 0, above / below, math.nan)
    rates = {
        name: (100 if span == PER_CENT else 1) * ratio[:, column]
        for column, (name, span) in enumerate(table.spans.items())
    }
    return rates | {name: f1_score(*(rates[p] for p in parts)) for name, parts in table.f1.items()}


def _harmonic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.where(a + b == 0, 0.0, 2 * a * b / (a + b))


def _bootstrap(table: RateTable, draws: Draws, *evaluations: Counts) -> dict[str, Edges]:
    """Edges of an evaluation's rates; given two, of the second one's less the first one's."""
    clusters, seed, resamples, level = draws
    rates = partial(_values, table)
    drawn = [resampled(rates, c.above, c.below, clusters, seed, resamples) for c in evaluations]
    values = drawn[-1]
    if len(drawn) > 1:
        values = {name: value - drawn[0][name] for name, value in values.items()}
    return percentiles(values, level)


def _floats(edges: Mapping[str, Edges]) -> Intervals:
    return {name: (float(low), float(high)) for name, (low, high) in edges.items()}
