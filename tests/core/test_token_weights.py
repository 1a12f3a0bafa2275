"""Token weights of one update against the float64 reference."""

import numpy as np
import pytest
from reference import cases
from reference import numpy_truth as truth

from waltzjax.data.batching import token_weights as weights_of

SEEDS = (0, 1, 2, 3)
RTOL = 2e-7  # one rounding to float32
SUM_ATOL = 1e-6  # a sum of about a hundred float32 weights
LIMIT = 11  # tokens that a text may have been given


def token_weights(action_BT, kind):
    """As a batch has them: of each row's text, at its actions."""
    weight_B = weights_of(action_BT.sum(axis=1), kind, max_new_tokens=LIMIT)
    return np.where(action_BT, weight_B[:, None], 0).astype(np.float32)


@pytest.mark.parametrize("kind", ["sequence", "token"])
@pytest.mark.parametrize("seed", SEEDS)
def test_matches_the_reference_and_sums_to_one(seed, kind):
    action_BT = cases.ragged_mask(np.random.default_rng(seed), 9, 13)
    got_BT = token_weights(action_BT, kind)
    assert got_BT.dtype == np.float32 and got_BT.shape == action_BT.shape
    np.testing.assert_allclose(got_BT, truth.token_weights(action_BT, kind), rtol=RTOL)
    assert got_BT.astype(np.float64).sum() == pytest.approx(1.0, abs=SUM_ATOL)
    assert np.all(got_BT[~action_BT] == 0.0)


def test_by_hand():
    # Lengths 3, 0 and 1: two rows count, so 1 / (2 * 3) and 1 / (2 * 1); tokens: 1 / 4
    action_BT = np.array([[1, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
    sequence_BT = token_weights(action_BT, "sequence")
    want_BT = [[1 / 6, 1 / 6, 1 / 6, 0], [0, 0, 0, 0], [0, 0.5, 0, 0]]
    np.testing.assert_allclose(sequence_BT, want_BT, rtol=RTOL)
    token_BT = token_weights(action_BT, "token")
    np.testing.assert_allclose(token_BT, np.where(action_BT, 0.25, 0.0), rtol=RTOL)


@pytest.mark.parametrize("kind", ["sequence", "token"])
def test_padding_rows_and_columns_change_nothing(kind):
    action_BT = cases.ragged_mask(np.random.default_rng(5), 6, 9)
    before_BT = token_weights(action_BT, kind)
    after_BT = token_weights(np.pad(action_BT, ((0, 3), (0, 4))), kind)
    np.testing.assert_array_equal(after_BT, np.pad(before_BT, ((0, 3), (0, 4))))


def test_refuses_an_unknown_kind():
    with pytest.raises((ValueError, KeyError), match="mean_of_means"):
        token_weights(np.ones((1, 1), dtype=bool), "mean_of_means")


def test_a_constant_for_every_token():
    """Dr. GRPO: two texts that could have had 11 tokens each, of 3 and 1; a third has none."""
    action_BT = np.array([[1, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
    want_BT = np.where(action_BT, 1 / (2 * LIMIT), 0)
    np.testing.assert_allclose(token_weights(action_BT, "constant"), want_BT, rtol=RTOL)


def test_a_constant_needs_its_limit():
    with pytest.raises(ValueError, match="max_new_tokens 0, allowed is >= 1"):
        weights_of(np.array([3, 1]), "constant")
