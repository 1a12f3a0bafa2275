"""The references themselves, against numbers worked by hand."""

import math

import numpy as np
import pytest
from reference import numpy_truth as truth

ATOL = 1e-12  # float64 against closed forms
ROUNDED = 1e-6  # against numbers written here with six decimals


def test_token_log_probs_with_and_without_truncation():
    # p = 0.5, 0.25, 0.15, 0.1
    logits_TV = np.log([[0.5, 0.25, 0.15, 0.1]] * 2)
    plain_T = truth.token_log_probs(logits_TV, [0, 3])
    np.testing.assert_allclose(plain_T, np.log([0.5, 0.1]), atol=ATOL)
    # top-2 keeps 0.5 and 0.25: 2/3 and 1/3; target 3 joins the set: 0.1 / 0.85
    top2_T = truth.token_log_probs(logits_TV, [0, 3], top_k=2)
    np.testing.assert_allclose(top2_T, np.log([0.5 / 0.75, 0.1 / 0.85]), atol=ATOL)
    # top-p 0.7 needs 0.5 and 0.25
    top_p_T = truth.token_log_probs(logits_TV, [1, 3], top_p=0.7)
    np.testing.assert_allclose(top_p_T, np.log([0.25 / 0.75, 0.1 / 0.85]), atol=ATOL)
    # after top-2 the first token has 2/3: top-p 0.6 keeps it alone, without top-2 it keeps two
    assert truth.kept_tokens(logits_TV[0], 1.0, 2, 0.6).tolist() == [True, False, False, False]
    assert truth.kept_tokens(logits_TV[0], 1.0, 0, 0.6).tolist() == [True, True, False, False]
    # temperature 1/2 squares the odds: 0.25 / (0.25 + 0.0625 + 0.0225 + 0.01)
    sharp_T = truth.token_log_probs(logits_TV, [0, 0], temperature=0.5)
    np.testing.assert_allclose(sharp_T, math.log(0.25 / 0.345), atol=ATOL)


def test_entropy_of_a_uniform_and_a_fair_coin():
    assert truth.entropy([[1.0] * 8])[0] == pytest.approx(math.log(8), abs=ATOL)
    assert truth.entropy([[3.0, 3.0, -500.0]])[0] == pytest.approx(math.log(2), abs=ATOL)


def test_kl_estimates():
    # logp = -1, ref = -1.5: r = -0.5
    assert truth.kl_k1([-1.0], [-1.5])[0] == 0.5
    assert truth.kl_k2([-1.0], [-1.5])[0] == 0.125
    assert truth.kl_k3([-1.0], [-1.5])[0] == pytest.approx(0.606531 - 0.5, abs=ROUNDED)
    # r = +-100 is clamped to +-20, then the result to 10: e^-20 + 20 - 1 = 19 and e^20 - 21
    assert truth.kl_k3([0.0, -100.0], [-100.0, 0.0]).tolist() == [10.0, 10.0]


def test_reinforce_pp_advantages():
    # One row, R = 1, beta = 1, kl = .1 .2 .3: returns .4 .5 .7, mean .533333, std .124722
    logp_BT = np.array([[-1.0, -1.0, -1.0]])
    ref_BT = np.array([[-1.1, -1.2, -1.3]])
    adv_BT = truth.reinforce_pp_advantages([1.0], logp_BT, ref_BT, [[1, 1, 1]], beta=1.0)
    np.testing.assert_allclose(adv_BT, [[-1.069045, -0.267261, 1.336306]], atol=ROUNDED)


def test_token_weights():
    mask_BT = [[1, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    sequence_BT = truth.token_weights(mask_BT, "sequence")
    np.testing.assert_allclose(
        sequence_BT, [[1 / 6, 1 / 6, 1 / 6, 0], [0, 0, 0, 0], [0, 0.5, 0, 0]], atol=ATOL
    )
    token_BT = truth.token_weights(mask_BT, "token")
    np.testing.assert_allclose(
        token_BT, [[0.25, 0.25, 0.25, 0], [0, 0, 0, 0], [0, 0.25, 0, 0]], atol=ATOL
    )


def test_truncated_is():
    got = truth.truncated_is([0.0, -1.0, 0.0, -100.0], [-1.0, 0.0, -100.0, 0.0], 2.0)
    np.testing.assert_allclose(got, [2.0, math.exp(-1), 2.0, math.exp(-20)], atol=ATOL)


GOOD, UNSAFE, OVERREFUSE = (False, False), (True, False), (False, True)


@pytest.mark.parametrize(
    "judge, labels, stage_1, stage_2",
    [
        # The table of the reward: alpha .65, gamma .1, lambda .25 in stage 1 and 0 in stage 2.
        ([GOOD], [GOOD], 0.35, 0.1),
        ([UNSAFE, GOOD], [UNSAFE], 1.0, 0.75),
        ([UNSAFE, OVERREFUSE], [UNSAFE], 0.35, 0.1),
        ([GOOD, UNSAFE], [UNSAFE], 0.1, 0.1),
        ([UNSAFE], [GOOD], 0.1, 0.1),
        ([UNSAFE], [None], 0.0, 0.0),
        # Improved, but the labels name the wrong fault: a pair is compared, not "some fault".
        ([UNSAFE, GOOD], [OVERREFUSE], 0.1, 0.1),
    ],
)
def test_waltz_rewards_table(judge, labels, stage_1, stage_2):
    for lam, expected in ((0.25, stage_1), (0.0, stage_2)):
        conversation, feedback = truth.waltz_rewards(judge, labels, 0.65, lam, 0.1)
        assert conversation == [1.0 if j == GOOD else 0.0 for j in judge]
        assert feedback[0].total == pytest.approx(expected, abs=ATOL)


def test_waltz_rewards_over_several_turns():
    judge = [UNSAFE, UNSAFE, GOOD, GOOD]
    labels = [UNSAFE, UNSAFE, OVERREFUSE, GOOD]
    conversation, feedback = truth.waltz_rewards(judge, labels, 0.65, 0.25, 0.1)
    assert conversation == [0.0, 0.0, 1.0, 1.0]
    assert [f.dir for f in feedback] == [0.0, 1.0, 0.0, 0.0]
    assert [f.label for f in feedback] == [1.0, 1.0, 0.0, 1.0]
    assert [f.total for f in feedback] == pytest.approx([0.35, 1.0, 0.1, 0.35], abs=ATOL)
