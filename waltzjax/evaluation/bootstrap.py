"""The percentile bootstrap (Efron 1979) of rates: ratios of what is summed over units drawn anew.

A unit adds ``above`` to a rate's numerator and ``below`` to its denominator. Units of one cluster
are drawn together: an interval is then one for other clusters too, prompts of other frames. The
same seed and clusters give the same draws, so that two evaluations of the same units are resampled
together and their differences are paired.

Benign chats under two agents are compared here too: ``chats`` is what a result keeps of them
under ``benign``, by chat ``nll`` (nats, of all its replies), ``tokens`` (of those) and
``revised`` (whether feedback asked for another answer to its prompt; of the first
``config.eval.prompts`` of them).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from waltzjax.evaluation.intervals import LEVEL, Edges, clustered, unseen, widened

AT_A_TIME = 100  # resamples held in memory
RESAMPLES = 2000
Rates = Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]


def resampled(
    rates: Rates,
    above: np.ndarray,
    below: np.ndarray,
    clusters: np.ndarray,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, np.ndarray]:
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


Chats = Mapping[str, Sequence[float]]
Estimate = tuple[float, float, float]  # the value and its 95 % bootstrap interval


def mean_nll(chats: Chats, seed: int) -> Estimate:
    """Nats a token; the interval is over chats."""
    nll, tokens = _arrays(chats)
    return _estimate(nll.sum() / tokens.sum(), _sums(nll, seed) / _sums(tokens, seed))


def likelihood(before: Chats, after: Chats, seed: int) -> Estimate:
    """The likelihood of a token (geometric mean) under ``after``, in per cent of that under
    ``before``; ValueError as of ``gain``."""
    each = np.arange(len(before["nll"]))
    value, low, high = (100 * math.exp(x) for x in gain(before, after, each, seed))
    return value, low, high


def gain(before: Chats, after: Chats, clusters: np.ndarray, seed: int) -> Estimate:
    """How much likelier ``after`` finds the chats, nats a token; the interval is over the
    ``clusters``, by chat a number.

    Raises:
      ValueError: they are not the same chats, in the same tokens.
    """
    (nll, tokens), (theirs, their_tokens) = _arrays(before), _arrays(after)
    if tokens.tolist() != their_tokens.tolist():
        raise ValueError("chats compared: they are not the same ones, or not in the same tokens")
    gained, tokens = clustered(nll - theirs, clusters), clustered(tokens, clusters)
    return _estimate(gained.sum() / tokens.sum(), _sums(gained, seed) / _sums(tokens, seed))


def revised(before: Chats, after: Chats, seed: int) -> Estimate:
    """By how much, in points of a per cent, more prompts were sent back by feedback; the interval
    is over prompts, and has a width where no two differ: see ``intervals.unseen``.

    Raises:
      ValueError: they are not of as many prompts.
    """
    if len(before["revised"]) != len(after["revised"]):
        raise ValueError(
            f"benign prompts compared: {len(before['revised'])} and {len(after['revised'])}; "
            "evaluate both with the same config.eval.prompts"
        )
    more = np.asarray(after["revised"], float) - np.asarray(before["revised"], float)
    drawn = percentiles({"": 100 * _sums(more, seed) / len(more)})[""]
    value, absent = np.asarray(100 * more.mean()), unseen(len(more), len(more))
    low, high = widened(drawn, value, absent, (-100, 100))
    return float(value), float(low), float(high)


def _arrays(chats: Chats) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(chats["nll"], np.float64), np.asarray(chats["tokens"], np.float64)


def _sums(values: np.ndarray, seed: int) -> np.ndarray:
    """The sum of ``values`` in each resample; a seed draws the same chats for any values."""
    rng, n = np.random.default_rng(seed), len(values)
    return rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) @ values


def _estimate(value: float, resampled: np.ndarray) -> Estimate:
    low, high = percentiles({"": resampled})[""]
    return float(value), float(low), float(high)
