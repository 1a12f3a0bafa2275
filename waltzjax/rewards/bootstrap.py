"""The percentile bootstrap (Efron 1979) of rates: ratios of what is summed over units drawn anew.

Units are episodes or problems; a unit adds ``above`` to a rate's numerator and ``below`` to its
denominator. The same seed and number of units give the same draws, so that two evaluations of the
same units are resampled together and their differences are paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

AT_A_TIME = 100  # resamples held in memory
Rates = Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]


def resampled(
    rates: Rates, above: np.ndarray, below: np.ndarray, seed: int, resamples: int
) -> dict[str, np.ndarray]:
    """Each rate's values, [resamples], of ``above`` and ``below``, [units, shares].

    ``rates`` gives them of the sums over units, [any number, shares] each.
    """
    rng, n, parts = np.random.default_rng(seed), len(above), []
    for done in range(0, resamples, AT_A_TIME):
        size = min(AT_A_TIME, resamples - done)
        times = rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
        parts.append(rates(times @ above, times @ below))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentiles(values: Mapping[str, np.ndarray], level: float) -> dict[str, tuple[float, float]]:
    """The middle ``level`` of each rate's resamples; those in which nothing was counted are left
    out, and NaN is both ends where it was in none."""
    edges = (50 * (1 - level), 50 * (1 + level))
    out = {}
    for name, value in values.items():
        known = value[~np.isnan(value)]
        low, high = np.percentile(known, edges) if len(known) else (math.nan, math.nan)
        out[name] = (float(low), float(high))
    return out
