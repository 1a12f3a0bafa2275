"""Confidence intervals of shares that do not collapse at their ends: none of 300 is not 0 to 0.

A share's interval is the exact binomial one (Clopper and Pearson 1934) at the effective number of
trials (Korn and Graubard 1998): trials that come in clusters, such as prompts of one frame, tell
less than as many independent ones. Measures that are no shares, and differences, have bootstrap
intervals; these are widened by what may never have been drawn. F1 has the wider of both kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv, stdtrit

LEVEL = 0.95
ASSUMED = 2  # outcomes of the rarer kind that are added, with an assumed design effect [ours]
ANGLES = 181  # at which an ellipse is looked at


class Edges(NamedTuple):
    """Lower and upper ends, arrays of one shape; NaN: nothing was counted."""

    low: np.ndarray
    high: np.ndarray

    def hull(self, other: Edges) -> Edges:
        """From the lower of both low ends to the upper of both high ones."""
        return Edges(np.minimum(self.low, other.low), np.maximum(self.high, other.high))


def cluster_ids(names: Sequence[Hashable]) -> np.ndarray:
    """[units], int: the same number for the same name; "" names a unit that is its own cluster."""
    keys = [(i, "") if name == "" else (-1, name) for i, name in enumerate(names)]
    number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys], np.int64)


def clustered(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Sums over the units of each cluster: [units, ...] to [clusters, ...]."""
    sums = np.zeros((clusters.max(initial=-1) + 1, *values.shape[1:]))
    np.add.at(sums, clusters, values)
    return sums


def like_sized(trials: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """As how many clusters of one size those of the ``trials``, [units, shares], count (Kish 1965):
    where half of all are in one cluster, the others tell little of how far clusters differ."""
    sizes = clustered(trials, clusters)
    with np.errstate(invalid="ignore", divide="ignore"):
        return sizes.sum(0) ** 2 / (sizes**2).sum(0)


def share_edges(
    above: np.ndarray,
    below: np.ndarray,
    trials: np.ndarray,
    clusters: np.ndarray,
    level: float = LEVEL,
) -> Edges:
    """Edges of shares ``above.sum(0) / below.sum(0)`` in [0, 1]; arrays are [units, shares],
    ``clusters`` [units].

    ``trials``: how many outcomes a unit's numbers are of: ``below``, or the samples of a problem
    that counts once. The design effect is that of the ratio's variance between clusters, at least
    1. From few outcomes of the rarer kind it cannot be told (from none least of all): ASSUMED more
    of them are taken to have the geometric mean of the least, 1, and the largest, trials a cluster.
    """
    n, groups = trials.sum(0), like_sized(trials, clusters)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = above.sum(0) / below.sum(0)
        residuals = clustered(above - share * below, clusters)
        between = groups / (groups - 1) * (residuals**2).sum(0) / below.sum(0) ** 2
        effect = np.maximum(1, np.nan_to_num(between * (n - 1) / (share * (1 - share)), posinf=1))
        rare, assumed = n * np.minimum(share, 1 - share), np.sqrt(n / groups)
        effect = np.maximum(effect, (rare * effect + ASSUMED * assumed) / (rare + ASSUMED))
        students = student(n - 1, level) / student(groups - 1, level)  # the effect is estimated
        return clopper_pearson(share, n / effect * students**2, level)


def clopper_pearson(share: np.ndarray, n: np.ndarray, level: float = LEVEL) -> Edges:
    """The exact binomial interval of ``share`` of ``n`` trials, which need not be whole numbers."""
    tail, hits = (1 - level) / 2, share * n
    low = np.where(hits > 0, betaincinv(hits, n - hits + 1, tail), 0 * share)
    high = np.where(hits < n, betaincinv(hits + 1, n - hits, 1 - tail), 0 * share + 1)
    return Edges(low, high)


def student(freedom: np.ndarray | float, level: float = LEVEL) -> np.ndarray:
    """The quantile of Student's t of which a two-sided interval of this level is made; at least one
    degree of freedom."""
    return stdtrit(np.maximum(freedom, 1), (1 + level) / 2)


def unseen(n: np.ndarray | float, groups: np.ndarray | float, level: float = LEVEL) -> np.ndarray:
    """The largest share of trials that none of ``n`` in ``groups`` clusters may have shown: the
    upper end of none of them, with the design effect that ``share_edges`` assumes for it."""
    with np.errstate(divide="ignore"):
        return 1 - ((1 - level) / 2) ** (1 / np.sqrt(np.multiply(n, groups)))


def widened(edges: Edges, value: np.ndarray, share: np.ndarray, span: tuple[float, float]) -> Edges:
    """``edges`` of a mean ``value``, at least as far as it would move if a ``share`` of what it is
    the mean of lay at one end of its ``span``; not where that end is infinite."""
    least, most = (value + share * (end - value) if np.isfinite(end) else value for end in span)
    return edges.hull(Edges(least, most))


def of_two(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    a: np.ndarray,
    b: np.ndarray,
    edges_a: Edges,
    edges_b: Edges,
) -> Edges:
    """Edges of a ``measure`` that rises with each of two independent numbers, from their own
    intervals: its extremes on the quarter ellipses between one number's end and the other's.

    For a sum that is MOVER (Zou and Donner 2008), halves in quadrature; here the measure may be
    flat along both axes, as F1 is at 0.
    """
    across = np.linspace(0, np.pi / 2, ANGLES)
    low, high = (
        measure(a + (end_a - a) * np.cos(across), b + (end_b - b) * np.sin(across))
        for end_a, end_b in zip(edges_a, edges_b, strict=True)
    )
    return Edges(low.min(), high.max())
