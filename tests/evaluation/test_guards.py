"""Benign chats before and after: likelihood and interference, by hand."""

import math

import numpy as np
import pytest

from waltzjax.evaluation.bootstrap import gain, likelihood, mean_nll, revised

BEFORE = {"nll": [2.0, 6.0, 1.0], "tokens": [2, 3, 1], "revised": [1, 0, 1]}
AFTER = {"nll": [1.0, 6.0, 0.5], "tokens": [2, 3, 1], "revised": [0, 0, 1]}
TOLERANCE = 1e-9


def test_the_mean_is_over_tokens():
    value, low, high = mean_nll(BEFORE, 0)
    assert value == pytest.approx(9 / 6, abs=TOLERANCE)
    assert low == pytest.approx(1, abs=TOLERANCE)  # no resample is below its least likely chat
    assert high == pytest.approx(2, abs=TOLERANCE)


def test_likelihood_is_that_of_a_token():
    value, low, high = likelihood(BEFORE, AFTER, 0)
    assert value == pytest.approx(100 * math.exp(1.5 / 6), abs=TOLERANCE)
    # All resamples lie between the chat that gained nothing and those that gained half a nat.
    assert low == pytest.approx(100, abs=TOLERANCE)
    assert high == pytest.approx(100 * math.exp(0.5), abs=TOLERANCE)
    back = likelihood(AFTER, BEFORE, 0)[0]
    assert back == pytest.approx(100 * math.exp(-1.5 / 6), abs=TOLERANCE)


def test_unchanged_is_unchanged_in_every_resample():
    assert likelihood(BEFORE, BEFORE, 0) == (100, 100, 100)
    value, low, high = revised(BEFORE, BEFORE, 0)
    absent = 100 * (1 - 0.025 ** (1 / 3))  # of other prompts, which none of these three shows
    assert (value, low, high) == pytest.approx((0, -absent, absent))


def test_fewer_revisions():
    value, low, high = revised(BEFORE, AFTER, 0)
    assert value == pytest.approx(-100 / 3, abs=TOLERANCE) and low == -100 and 0 < high < 70
    many = ({**chats, "revised": chats["revised"] * 100} for chats in (BEFORE, AFTER))
    value, low, high = revised(*many, 0)
    assert value == pytest.approx(-100 / 3, abs=TOLERANCE) and -40 < low < high < -27


def test_the_gain_is_over_clusters():
    before = {"nll": [3.0, 3.0, 1.0, 1.0], "tokens": [2, 2, 2, 2]}
    after = {"nll": [1.0, 1.0, 1.0, 1.0], "tokens": [2, 2, 2, 2]}
    apart, pairs = (gain(before, after, np.array(c), 0) for c in ([0, 1, 2, 3], [0, 0, 1, 1]))
    assert apart[0] == pairs[0] == 0.5
    assert pairs[1:] == (0, 1)  # one resample in four is of either pair alone
    assert gain(before, after, np.array([0, 1, 0, 1]), 0) == (0.5, 0.5, 0.5)


def test_other_chats_are_not_compared():
    with pytest.raises(ValueError, match="not the same"):
        likelihood(BEFORE, {**AFTER, "tokens": [2, 3, 2]}, 0)
    with pytest.raises(ValueError, match="3 and 2"):
        revised(BEFORE, {**AFTER, "revised": [1, 1]}, 0)
