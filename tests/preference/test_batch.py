"""Pairs as rows: exact to the token."""

import numpy as np
import pytest

from waltzjax.preference.batch import PairTokens, pad_pairs

END = 9
PAIRS = [
    PairTokens((1, 2), (3, 4, END), (5, END), ref_chosen=-2.5, ref_rejected=-4.0),
    PairTokens((6,), (END,), (7, 8, 7, END), ref_chosen=-0.5, ref_rejected=-8.0),
]


def test_rows_by_hand():
    batch = pad_pairs(PAIRS, multiple=4, max_length=5, min_pairs=3)
    np.testing.assert_array_equal(
        batch.token_BT,
        [
            [1, 2, 3, 4, END, 0, 0, 0],
            [1, 2, 5, END, 0, 0, 0, 0],
            [6, END, 0, 0, 0, 0, 0, 0],
            [6, 7, 8, 7, END, 0, 0, 0],
            [0] * 8,
            [0] * 8,
        ],
    )
    np.testing.assert_array_equal(batch.length_B, [5, 4, 2, 5, 1, 1])
    said = [(2, 5), (2, 4), (1, 2), (1, 5), (0, 0), (0, 0)]  # with the token that ends the turn
    at_T = np.arange(8)
    np.testing.assert_array_equal(
        batch.action_BT, [(at_T >= begin) & (at_T < end) for begin, end in said]
    )
    np.testing.assert_array_equal(batch.pair_B, [0.5, 0.5, 0.5, 0.5, 0, 0])
    np.testing.assert_array_equal(batch.ref_logp_B, [-2.5, -4, -0.5, -8, 0, 0])
    # 3 + 1 tokens of chosen answers, all of the same weight
    weight_BT = np.zeros((6, 8))
    weight_BT[0, 2:5], weight_BT[2, 1] = 0.25, 0.25
    np.testing.assert_array_equal(batch.weight_BT, weight_BT)
    assert batch.start_BT is None and batch.cutoff_gap_BT is None and batch.entropy_BT is None


def test_without_a_reference_its_log_probability_is_zero():
    batch = pad_pairs([PairTokens((1,), (2,), (3, 4))], multiple=1, max_length=3)
    assert batch.token_BT.tolist() == [[1, 2, 0], [1, 3, 4]]
    assert batch.ref_logp_B.tolist() == [0, 0] and batch.pair_B.tolist() == [1, 1]


def test_a_row_that_is_too_long_is_named():
    with pytest.raises(
        ValueError, match=r"may have 4 tokens together, 2 rows .*\(0, 5\), \(1, 5\)"
    ):
        pad_pairs(PAIRS, multiple=4, max_length=4)


@pytest.mark.parametrize("empty", ["prompt_ids", "chosen_ids", "rejected_ids"])
def test_an_empty_text_is_named(empty):
    texts = {"prompt_ids": (1,), "chosen_ids": (2,), "rejected_ids": (3,), empty: ()}
    with pytest.raises(ValueError, match=r"pairs \[1\] \(from 0\): a prompt or an answer has no"):
        pad_pairs([PAIRS[0], PairTokens(**texts)], multiple=4, max_length=8)
