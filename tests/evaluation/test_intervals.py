"""Intervals against exact binomial ends and against how often they hold a known truth."""

import math

import numpy as np
import pytest
from scipy.stats import beta, binom

from waltzjax.evaluation.intervals import (
    Edges,
    cluster_ids,
    clustered,
    like_sized,
    of_two,
    share_edges,
    student,
    unseen,
    widened,
)

LEAST_COVERAGE = 0.93  # of a nominal 0.95, over these designs
DRAWS = 1000
ROUNDING = 1e-9
SHARES = (0.005, 0.01, 0.05, 0.4)


def edges_of(hits, clusters=None):
    """Of columns of outcomes, [trials, columns]; each trial is its own cluster, or as given."""
    clusters = np.arange(len(hits)) if clusters is None else clusters
    ones = np.ones_like(hits)
    return share_edges(hits, ones, ones, clusters)


def column(hits, n):
    return (np.arange(n) < hits).astype(float)[:, None]


@pytest.mark.parametrize(
    ("hits", "n"), [(0, 300), (300, 300), (0, 7), (1, 100), (3, 600), (40, 100), (599, 600)]
)
def test_the_ends_are_the_exact_binomial_ones(hits, n):
    """At each end the observed count, or one beyond it, has probability 2.5 %."""
    low, high = (float(end[0]) for end in edges_of(column(hits, n)))
    if hits:
        assert binom.sf(hits - 1, n, low) == pytest.approx(0.025, abs=ROUNDING)
    else:
        assert low == 0
    if hits < n:
        assert binom.cdf(hits, n, high) == pytest.approx(0.025, abs=ROUNDING)
    else:
        assert high == 1


def test_none_of_three_hundred():
    assert 100 * edges_of(column(0, 300)).high[0] == pytest.approx(1.2221, abs=1e-4)


def sampled(rng, share, n, groups, intraclass):
    """Outcomes [n, DRAWS] of a share that differs between groups (a beta distribution), and their
    groups, not all of one size."""
    of = np.sort(np.arange(n) % groups)
    own = np.full((groups, DRAWS), share)
    if intraclass:
        total = 1 / intraclass - 1
        own = rng.beta(share * total, (1 - share) * total, (groups, DRAWS))
    return (rng.random((n, DRAWS)) < own[of]).astype(float), of


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize(
    ("n", "groups", "intraclass"),
    [(100, 100, 0), (600, 600, 0), (100, 20, 0.1), (100, 12, 0.2), (600, 30, 0), (600, 60, 0.1),
     (600, 28, 0.1), (600, 40, 0.2)],
)  # fmt: skip
def test_intervals_hold_the_truth(share, n, groups, intraclass):
    rng = np.random.default_rng(n + groups)
    low, high = edges_of(*sampled(rng, share, n, groups, intraclass))
    assert np.mean((low <= share) & (share <= high)) >= LEAST_COVERAGE
    low, high = edges_of(*sampled(rng, 1 - share, n, groups, intraclass))
    assert np.mean((low <= 1 - share) & (1 - share <= high)) >= LEAST_COVERAGE


UNEQUAL = {
    "half in one": (50, 20, 10, 5, 5, 4, 2, 1, 1, 1, 1),
    "two large ones": (60, 60, *[2] * 20),
    "one large one": (100, *[10] * 30),
    "ever smaller": tuple(200 // k for k in range(1, 30)),
    "alone but for one": (80, *[1] * 120),
}


@pytest.mark.parametrize("sizes", UNEQUAL.values(), ids=UNEQUAL)
@pytest.mark.parametrize("share", [0.05, 0.4])
def test_clusters_of_unequal_sizes_are_held_too(share, sizes):
    rng, total = np.random.default_rng(len(sizes)), 1 / 0.2 - 1
    of = np.repeat(np.arange(len(sizes)), sizes)
    own = rng.beta(share * total, (1 - share) * total, (len(sizes), DRAWS))
    low, high = edges_of((rng.random((len(of), DRAWS)) < own[of]).astype(float), of)
    assert np.mean((low <= share) & (share <= high)) >= LEAST_COVERAGE


def test_four_clusters_by_hand():
    """1, 3, 5 and 7 of 10 each: means of a deviation of 0.258, where 40 independent trials would
    have one of 0.156; two more of the rarer kind are taken to have an effect of sqrt(10)."""
    hits = np.concatenate([column(n, 10) for n in (1, 3, 5, 7)])
    effect = (20 / 3 / 100 / 4) / (0.4 * 0.6 / 39)
    effect = (16 * effect + 2 * math.sqrt(10)) / 18
    trials = 40 / effect * (2.02269 / 3.18245) ** 2  # Student's t of 39 and of 3 degrees of freedom
    low, high = edges_of(hits, np.repeat(np.arange(4), 10))
    assert low[0] == pytest.approx(beta.ppf(0.025, 0.4 * trials, 0.6 * trials + 1), abs=1e-5)
    assert high[0] == pytest.approx(beta.ppf(0.975, 0.4 * trials + 1, 0.6 * trials), abs=1e-5)


def test_clusters_count_by_their_sizes():
    trials = np.array([[1.0, 0], [1, 0], [2, 0], [4, 0]])
    assert like_sized(trials, np.arange(4))[0] == pytest.approx(64 / 22)
    assert like_sized(trials, np.array([0, 0, 1, 2]))[0] == pytest.approx(64 / 24)
    assert like_sized(trials, np.array([0, 0, 0, 1]))[0] == 2
    assert np.isnan(like_sized(trials, np.arange(4))[1])


def test_without_clusters_the_clustered_are_not_held():
    """What the design effect is for."""
    hits, _ = sampled(np.random.default_rng(0), 0.4, 600, 28, 0.1)
    low, high = edges_of(hits)
    assert np.mean((low <= 0.4) & (high >= 0.4)) < 0.85


def test_a_share_of_several_trials_a_unit_is_that_of_its_trials():
    """Four independent samples of each of 150 problems are as good as 600 problems."""
    hits = (np.random.default_rng(1).random((150, 4)) < 0.3).astype(float)
    means, ones = hits.mean(1, keepdims=True), np.ones((150, 1))
    low, high = share_edges(means, ones, 4 * ones, np.arange(150))
    alone = edges_of(hits.reshape(-1, 1))
    assert high[0] - low[0] == pytest.approx(alone.high[0] - alone.low[0], rel=0.15)
    same = np.repeat(hits[:, :1], 4, axis=1).mean(1, keepdims=True)  # samples that are copies
    low, high = share_edges(same, ones, 4 * ones, np.arange(150))
    alone = edges_of(hits[:, :1])
    assert high[0] - low[0] == pytest.approx(alone.high[0] - alone.low[0], rel=0.05)


def test_what_is_not_counted_is_nan_and_one_cluster_says_next_to_nothing():
    nothing = np.zeros((5, 1))
    assert all(np.isnan(share_edges(nothing, nothing, nothing, np.arange(5))))
    low, high = edges_of(column(4, 10), np.zeros(10, int))
    assert low[0] < 0.01 and high[0] > 0.99
    low, high = edges_of(column(1, 1))
    assert (low[0], high[0]) == pytest.approx((0.025, 1))


def test_clusters_are_names_and_units_without_one_are_alone():
    ids = cluster_ids(["a", "", "b", "", "a"])
    assert ids[0] == ids[4] and len(set(ids.tolist())) == 4
    values = np.arange(10.0).reshape(5, 2)
    sums = clustered(values, ids)
    assert sums[ids[0]].tolist() == [0 + 8, 1 + 9] and sums.sum() == values.sum()
    assert len(clustered(np.zeros((0, 2)), cluster_ids([]))) == 0


def test_students_quantiles_are_those_of_tables():
    for freedom, value in ((1, 12.706), (2, 4.303), (9, 2.262), (10, 2.228), (30, 2.042)):
        assert student(freedom) == pytest.approx(value, abs=5e-4)
    assert student(0) == student(1)


def test_what_is_unseen_is_the_end_of_none():
    for n in (1, 12, 300):
        assert unseen(n, n) == pytest.approx(edges_of(column(0, n)).high[0], abs=ROUNDING)
    groups = np.arange(300) % 20
    assert unseen(300, 20) == pytest.approx(beta.ppf(0.975, 1, math.sqrt(300 * 20)), abs=ROUNDING)
    assert edges_of(column(0, 300), groups).high[0] > unseen(300, 20)  # t of 19, not of 299
    assert unseen(0, 0) == 1


def test_an_interval_is_widened_to_what_the_unseen_may_move():
    point = Edges(np.array(0.0), np.array(0.0))
    low, high = widened(point, np.array(0.0), np.array(0.1), (-1, 1))
    assert (low, high) == pytest.approx((-0.1, 0.1))
    low, high = widened(Edges(np.array(-0.5), np.array(0.05)), np.array(0.0), 0.1, (-1, 1))
    assert (low, high) == pytest.approx((-0.5, 0.1))
    low, high = widened(point, np.array(4.0), 0.5, (0, math.inf))
    assert (low, high) == (0, 4)  # nothing is known of how long a text may be


def test_two_shares_are_put_together_in_quadrature():
    """Of a sum: the hypotenuse of both halves."""
    parts = Edges(np.array(0.2), np.array(0.5)), Edges(np.array(0.6), np.array(0.8))
    low, high = of_two(np.add, np.array(0.3), np.array(0.7), *parts)
    assert low == pytest.approx(1 - math.hypot(0.1, 0.1), abs=1e-4)
    assert high == pytest.approx(1 + math.hypot(0.2, 0.1), abs=1e-4)


def test_a_measure_that_is_flat_along_both_axes_has_a_width():
    """A product at 0: neither share moves it alone."""
    zero, edges = np.array(0.0), Edges(np.array(0.0), np.array(0.2))
    low, high = of_two(np.multiply, zero, zero, edges, edges)
    assert low == 0 and high == pytest.approx(0.2**2 / 2)
