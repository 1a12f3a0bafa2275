"""The percentile bootstrap (Efron 1979) of rates: ratios of what is summed over units drawn anew.

A unit adds ``above`` to a rate's numerator and ``below`` to its denominator. Units of one cluster
are drawn together: an interval is then one for other clusters too, prompts of other frames. The
same seed and clusters give the same draws, so that two evaluations of the same units are resampled
together and their differences are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from waltzjax.rewards.intervals import LEVEL, Edges, clustered

AT_A_TIME = 100  # resamples held in memory
RESAMPLES = 2000
Rates = Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]


def resampled(
    rates: Rates, above: np.ndarray, below: np.ndarray, clusters: np.ndarray, seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Each rate's values, [resamples], of ``above`` and ``below``, [units, shares], whose
    ``clusters``, [units], are drawn.

    ``rates`` gives them of the sums over units, [any number, shares] each.
    """
    above, below = clustered(above, clusters), clustered(below, clusters)
    rng, n, parts = np.random.default_rng(seed), len(above), []
    for done in range(0, resamples, AT_A_TIME):
        size = min(AT_A_TIME, resamples - done)
        times = rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
        parts.append(rates(times @ above, times @ below))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentiles(values: Mapping[str, np.ndarray], level: float = LEVEL) -> dict[str, Edges]:
    """The middle ``level`` of each rate's resamples; those in which nothing was counted are left
    out, and NaN is both ends where it was in none."""
    edges = (50 * (1 - level), 50 * (1 + level))
    known = {name: value[~np.isnan(value)] for name, value in values.items()}
    return {
        name: Edges(*(np.percentile(v, edges) if len(v) else np.full(2, np.nan)))
        for name, v in known.items()
    }
