"""The references of groups, packed rows and the entropy bonus, against numbers worked by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import cases, numpy_truth
from reference import group_truth as truth

from waltzjax.core.logprobs import token_logprobs

ATOL = 1e-12  # float64 against closed forms
ROUNDED = 1e-6  # against numbers written here with six decimals
DIFFERENCE_ATOL = 1e-9  # central differences of step 1e-5 against closed forms
FLOAT32_ATOL = 1e-6  # gradients below 1 in float32


def test_group_advantages():
    # 3 1 2: mean 2, variance 2/3, std .816497; others' means 1.5, 2.5, 2
    reward_PK = [[3.0, 1.0, 2.0]]
    assert truth.group_advantage(reward_PK, "none").tolist() == reward_PK
    assert truth.group_advantage(reward_PK, "mean").tolist() == [[1.0, -1.0, 0.0]]
    assert truth.group_advantage(reward_PK, "rloo").tolist() == [[1.5, -1.5, 0.0]]
    grpo_PK = truth.group_advantage(reward_PK, "grpo")
    np.testing.assert_allclose(grpo_PK, [[1.224743, -1.224743, 0.0]], rtol=0, atol=ROUNDED)
    assert truth.group_advantage([[0.1] * 3], "grpo").tolist() == [[0.0] * 3]
    with pytest.raises(ValueError, match="2 or more"):
        truth.group_advantage([[1.0]], "rloo")


def test_the_two_orders():
    # Samples (1, 0) and (0, 1), weights 2 and 1: sums 2 and 1, deviations +-.5; signals alone
    # +-.5 and -+.5: 2 * .5 - .5 = .5 as well for means; z-scores +-1 against 2 * 1 - 1 = 1;
    # with weights 3 and 1 it is +-1 against 3 - 1 = 2
    signal_PKR = [[[1.0, 0.0], [0.0, 1.0]]]
    for kind, weight_R, of_sum, of_each in (
        ("mean", (2, 1), 0.5, 0.5), ("grpo", (2, 1), 0.999998, 0.999998),
        ("grpo", (3, 1), 0.999999, 1.999996),
    ):  # fmt: skip
        for order, want in (("sum", of_sum), ("normalise", of_each)):
            got_PK = truth.combine(signal_PKR, weight_R, kind, order)
            np.testing.assert_allclose(got_PK, [[want, -want]], rtol=0, atol=ROUNDED)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_token_advantages_of_one_text_a_row_are_the_older_reference(seed, normalise):
    rng = np.random.default_rng(seed)
    mask_BT = cases.ragged_mask(rng, 6, 9)
    logp_BT, ref_BT = cases.log_probs(rng, (6, 9)), cases.log_probs(rng, (6, 9))
    reward_B = 2 * rng.normal(size=6)
    kl_BT = numpy_truth.kl_k1(logp_BT, ref_BT)
    reward_BT = np.repeat(reward_B[:, None], 9, axis=1)
    got_BT = truth.token_advantages(
        np.clip(reward_BT, -1.5, 1.5), kl_BT, mask_BT, None, beta=0.3, normalise=normalise
    )
    older = numpy_truth.reinforce_pp_returns(reward_B, kl_BT, mask_BT, 0.3, 1.5)
    want_BT = numpy_truth.z_score(older, mask_BT) if normalise else older
    np.testing.assert_allclose(got_BT, want_BT, rtol=0, atol=ATOL)


def test_token_advantages_of_two_texts():
    # beta .5: 1 - .5 * (2 + 4), 1 - .5 * 4 | -30 - .5 * 8; the prompt's 100 is nobody's
    got_BT = truth.token_advantages(
        [[1, 1, 1, -30, -30]], [[100, 2, 4, 100, 8]], [[0, 1, 1, 0, 1]], [[0, 0, 0, 3, 3]], beta=0.5
    )
    assert got_BT.tolist() == [[0.0, -2.0, -1.0, 0.0, -34.0]]


def test_constant_weights():
    # Texts of 2, 1 and 3 trained tokens, of at most 4; a fourth in another microbatch: 1 / 16
    # each, 6 / 16 in all. The same texts one a row weigh the same.
    packed_BT = [[0, 1, 1, 0, 1, 0], [1, 1, 1, 0, 0, 0]]
    start_BT = [[0, 0, 0, 3, 3, 0], [0] * 6]
    got_BT = truth.constant_weights(packed_BT, start_BT, 4, 4)
    assert got_BT.tolist() == (np.array(packed_BT) / 16).tolist()
    alone_BT = [[0, 1, 1], [0, 1, 0], [1, 1, 1]]
    got_BT = truth.constant_weights(alone_BT, None, 4, 4)
    assert got_BT.tolist() == (np.array(alone_BT) / 16).tolist()
    # Only where all are as long as they may be is it the mean over tokens
    full_BT = np.ones((3, 4))
    np.testing.assert_allclose(
        truth.constant_weights(full_BT, None, 3, 4), numpy_truth.token_weights(full_BT, "token"),
        rtol=0, atol=ATOL,
    )  # fmt: skip
    with pytest.raises(ValueError, match="2 texts of up to 3"):
        truth.constant_weights(packed_BT[1:] * 2, None, 2, 2)
    with pytest.raises(ValueError, match="3 texts"):
        truth.constant_weights(packed_BT, start_BT, 2, 4)


HALF = np.log([[0.5, 0.25, 0.25]])  # logits; H = .5 ln 2 + 2 * .25 * 2 ln 2 = 1.5 ln 2


def test_entropy_bonus_by_hand():
    # Two such tokens of weight .5 and .25, c = .1: 2 - .1 * .75 * 1.5 ln 2 = 2 - .1125 ln 2
    entropy_T = numpy_truth.entropy(np.repeat(HALF, 2, axis=0))
    got = truth.entropy_bonus_loss(2.0, [0.5, 0.25], entropy_T, 0.1)
    assert got == pytest.approx(2 - 0.1125 * math.log(2), abs=ATOL)


def test_gradient_of_the_entropy_bonus_by_hand():
    # d H / d z_v = -p_v (log p_v + H): log p + H = .5 ln 2, -.5 ln 2, -.5 ln 2, so
    # -.25 ln 2, .125 ln 2, .125 ln 2; the objective's is -c w = -.1 * .5 times that: gradient
    # descent takes from the likeliest token and gives to the others
    def objective(logits_TV):
        return truth.entropy_bonus_loss(0.0, [0.5], numpy_truth.entropy(logits_TV), 0.1)

    want_TV = 0.05 * math.log(2) * np.array([[0.25, -0.125, -0.125]])
    got_TV = truth.central_difference(objective, HALF)
    np.testing.assert_allclose(got_TV, want_TV, rtol=0, atol=DIFFERENCE_ATOL)
    moved = numpy_truth.entropy(HALF - got_TV)[0]
    assert moved > numpy_truth.entropy(HALF)[0]

    # Beside a REINFORCE term -w A log p_y, y = 0, A = 2: -.5 * 2 * (1[v = 0] - p) joins it
    def whole(logits_TV):
        loss = -0.5 * 2 * numpy_truth.token_log_probs(logits_TV, [0])[0]
        return loss + objective(logits_TV)

    want_TV = want_TV + np.array([[-0.5, 0.25, 0.25]])
    got_TV = truth.central_difference(whole, HALF)
    np.testing.assert_allclose(got_TV, want_TV, rtol=0, atol=DIFFERENCE_ATOL)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gradient_of_the_entropy_bonus_of_the_library_and_of_torch(seed):
    """Random logits of three tokens; the head is the identity, so that hidden states are logits."""
    rng = np.random.default_rng(seed)
    logits_TV, target_T = 2 * rng.normal(size=(5, 3)), rng.integers(0, 3, 5)
    weight_T, advantage_T, c = rng.random(5) / 5, rng.normal(size=5), 0.3
    weight_T[1] = 0.0  # not trained: no bonus either

    def reference(logits_TV):
        logp_T = numpy_truth.token_log_probs(logits_TV, target_T)
        loss = -sum(weight_T * advantage_T * logp_T)
        return truth.entropy_bonus_loss(loss, weight_T, numpy_truth.entropy(logits_TV), c)

    def library(hidden_BTD):
        logp_BT, entropy_BT, _ = token_logprobs(
            hidden_BTD, jnp.eye(3), jnp.asarray(target_T)[None], temperature=1.0, block=2
        )
        return -jnp.sum(weight_T * (advantage_T * logp_BT + c * entropy_BT))

    torch = pytest.importorskip("torch", reason="torch is the reference implementation")
    z_TV = torch.tensor(logits_TV, requires_grad=True)
    policy = torch.distributions.Categorical(logits=z_TV)
    objective_T = torch.tensor(advantage_T) * policy.log_prob(torch.tensor(target_T))
    (-(torch.tensor(weight_T) * (objective_T + c * policy.entropy())).sum()).backward()

    want_TV = truth.central_difference(reference, logits_TV)
    np.testing.assert_allclose(z_TV.grad.numpy(), want_TV, rtol=0, atol=DIFFERENCE_ATOL)
    got_TV = jax.grad(library)(jnp.asarray(logits_TV, jnp.float32)[None])[0]
    np.testing.assert_allclose(got_TV, want_TV, rtol=0, atol=FLOAT32_ATOL)
    assert np.all(want_TV[1] == 0.0) and np.abs(want_TV).max() > 1e-2
