"""REINFORCE++ advantages against the float64 reference."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import cases
from reference import numpy_truth as truth

from waltzjax.core.advantages import token_advantages

SEEDS = (0, 1, 2, 3)
ATOL = 1e-5  # z-scores of order 1 from float32 sums over a few hundred tokens
HAND_ATOL = 2e-6  # six decimals and float32
UNIT_ATOL = 1e-5  # float32 mean and variance of the result


def draw(seed, B=9, T=13):
    rng = np.random.default_rng(seed)
    mask_BT = cases.ragged_mask(rng, B, T)
    logp_BT, ref_BT = cases.log_probs(rng, (B, T)), cases.log_probs(rng, (B, T))
    reward_B = rng.normal(size=B).astype(np.float32)
    return reward_B, logp_BT, ref_BT, mask_BT


def advantages(reward_B, kl_BT, mask_BT, *, beta, reward_clip=10.0):
    """REINFORCE++'s of one text a row."""
    reward_BT = jnp.broadcast_to(reward_B[:, None], kl_BT.shape)
    return token_advantages(
        jnp.clip(reward_BT, -reward_clip, reward_clip),
        kl_BT,
        mask_BT,
        None,
        beta=beta,
        normalise=True,
    )


def run(reward_B, kl_BT, mask_BT, **settings):
    arrays = (jnp.asarray(x) for x in (reward_B, kl_BT, mask_BT))
    return np.asarray(advantages(*arrays, **settings))


@pytest.mark.parametrize("beta", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("seed", SEEDS)
def test_matches_the_reference(seed, beta):
    reward_B, logp_BT, ref_BT, mask_BT = draw(seed)
    kl_BT = cases.with_garbage(np.random.default_rng(seed), logp_BT - ref_BT, mask_BT)
    got_BT = run(reward_B, kl_BT, mask_BT, beta=beta)
    want_BT = truth.reinforce_pp_advantages(reward_B, logp_BT, ref_BT, mask_BT, beta)
    np.testing.assert_allclose(got_BT, want_BT, atol=ATOL)
    assert got_BT.dtype == np.float32
    assert np.all(got_BT[~mask_BT] == 0.0)


def test_under_jit():
    reward_B, logp_BT, ref_BT, mask_BT = draw(7)
    got_BT = jax.jit(partial(advantages, beta=0.1))(reward_B, logp_BT - ref_BT, mask_BT)
    want_BT = truth.reinforce_pp_advantages(reward_B, logp_BT, ref_BT, mask_BT, 0.1)
    np.testing.assert_allclose(got_BT, want_BT, atol=ATOL)


def test_penalty_counts_this_token_and_later_ones():
    # R = 1, beta = 1, kl = .1 .2 .3: returns .4 .5 .7; mean .533333, population std .124722
    got_BT = run([1.0], np.float32([[0.1, 0.2, 0.3]]), [[True, True, True]], beta=1.0)
    np.testing.assert_allclose(got_BT, [[-1.069045, -0.267261, 1.336306]], atol=HAND_ATOL)


def test_a_hole_in_the_mask_adds_no_penalty():
    # The middle token is not trained: returns 1 - .4 = .6 and 1 - .3 = .7; z = -1 and +1
    kl_BT = np.float32([[0.1, 50.0, 0.3]])
    got_BT = run([1.0], kl_BT, [[True, False, True]], beta=1.0)
    np.testing.assert_allclose(got_BT, [[-1.0, 0.0, 1.0]], atol=HAND_ATOL)


def test_tokens_weigh_the_statistics_not_rows():
    # Rewards 1 (three tokens) and 0 (one token): mean .75, population variance .1875,
    # z = .25 / .433013 = .577350 and -.75 / .433013 = -1.732051. The row of 0 tokens is absent.
    mask_BT = [[True, True, True], [False, False, True], [False, False, False]]
    got_BT = run([1.0, 0.0, 9.0], np.zeros((3, 3), np.float32), mask_BT, beta=0.0)
    want_BT = [[0.577350] * 3, [0.0, 0.0, -1.732051], [0.0] * 3]
    np.testing.assert_allclose(got_BT, want_BT, atol=HAND_ATOL)


def test_rewards_are_clipped_on_both_sides():
    # +-100 become +-10 and 5 stays: mean 5/3, variance (69.444 + 136.111 + 11.111) / 3 = 72.222
    mask_BT = np.ones((3, 1), dtype=bool)
    zeros_BT = np.zeros((3, 1), np.float32)
    got_BT = run([100.0, -100.0, 5.0], zeros_BT, mask_BT, beta=0.0)
    np.testing.assert_allclose(got_BT[:, 0], [0.980581, -1.372813, 0.392232], atol=HAND_ATOL)
    # With a limit of 1 the third reward is cut too: 1, -1, 1
    got_BT = run([100.0, -100.0, 5.0], zeros_BT, mask_BT, beta=0.0, reward_clip=1.0)
    np.testing.assert_allclose(got_BT[:, 0], [0.707107, -1.414214, 0.707107], atol=HAND_ATOL)


def test_the_penalty_is_not_clipped_with_the_reward():
    # R = 10 and -10 are at the limit; penalties 5 and 15 move the returns to 5 and -25: z = +-1.
    # A third row at 0 separates this from clipping after the penalty (5, -10, 0).
    kl_BT = np.float32([[5.0], [15.0], [0.0]])
    got_BT = run([10.0, -10.0, 0.0], kl_BT, np.ones((3, 1), bool), beta=1.0)
    # mean -20/3, variance (136.111 + 336.111 + 44.444) / 3 = 172.222
    np.testing.assert_allclose(got_BT[:, 0], [0.889001, -1.397001, 0.508001], atol=HAND_ATOL)


EQUAL = (0.1, 0.35, 1 / 3, 1.1, -0.45, 7.3, 1e-3, 0.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("reward", EQUAL)
def test_equal_rewards_give_exact_zeros(reward, seed):
    rng = np.random.default_rng(seed)
    mask_BT = np.arange(128) < rng.integers(20, 129, (32, 1))
    zeros_BT = np.zeros(mask_BT.shape, np.float32)
    got_BT = run(np.full(32, reward, np.float32), zeros_BT, mask_BT, beta=0.01)
    np.testing.assert_array_equal(got_BT, zeros_BT)


@pytest.mark.parametrize("noise", ["sums", "penalty", "both"])
def test_rewards_that_rounding_alone_tells_apart_give_exact_zeros(noise):
    mask_BT = np.ones((64, 40), bool)
    rng = np.random.default_rng(0)
    reward_B, kl_BT = np.full(64, 0.6, np.float32), np.zeros((64, 40), np.float32)
    if noise in ("sums", "both"):  # as the same terms in another order give
        reward_B[1::2] = np.nextafter(reward_B[1::2], np.float32(1))
    if noise in ("penalty", "both"):  # the same log-probs from two programs
        kl_BT = rng.uniform(-1e-6, 1e-6, (64, 40)).astype(np.float32)
    got_BT = run(reward_B, kl_BT, mask_BT, beta=0.01)
    np.testing.assert_array_equal(got_BT, np.zeros((64, 40)))


@pytest.mark.parametrize("reward", EQUAL)
def test_one_reward_that_differs_is_a_signal(reward):
    reward_B = np.full(32, reward, np.float32)
    reward_B[5] += np.float32(1e-3)
    got_BT = run(reward_B, np.zeros((32, 8), np.float32), np.ones((32, 8), bool), beta=0.0)
    # mean d / 32, variance d^2 31 / 32^2: z = 31 / sqrt(31) and -1 / sqrt(31)
    np.testing.assert_allclose(got_BT[5], np.full(8, 31**0.5), rtol=2e-3)
    np.testing.assert_allclose(np.delete(got_BT, 5, 0), np.full((31, 8), -(31**-0.5)), rtol=2e-3)


def test_variance_is_clamped_below():
    # Rewards 0 and 2^-14: variance 2^-30 < 1e-8, so the scale is 1e-4, not 2^-15:
    # z = +-2^-15 / 1e-4 = +-0.305176
    got_BT = run([0.0, 2.0**-14], np.zeros((2, 1), np.float32), np.ones((2, 1), bool), beta=0.0)
    np.testing.assert_allclose(got_BT[:, 0], [-0.305176, 0.305176], atol=HAND_ATOL)


@pytest.mark.parametrize("trained", [0, 1])
def test_none_or_one_trained_token_gives_zero(trained):
    mask_BT = np.zeros((2, 4), dtype=bool)
    mask_BT[1, 2] = bool(trained)
    got_BT = run([3.0, -2.0], np.ones((2, 4), np.float32), mask_BT, beta=0.1)
    np.testing.assert_array_equal(got_BT, np.zeros((2, 4)))


def test_extreme_penalties_stay_finite():
    reward_B, _, _, mask_BT = draw(5)
    rng = np.random.default_rng(5)
    logp_BT = np.zeros(mask_BT.shape, np.float32)
    ref_BT = rng.choice([-100.0, 100.0], size=mask_BT.shape).astype(np.float32)
    got_BT = run(reward_B, logp_BT - ref_BT, mask_BT, beta=0.01)
    want_BT = truth.reinforce_pp_advantages(reward_B, logp_BT, ref_BT, mask_BT, 0.01)
    np.testing.assert_allclose(got_BT, want_BT, atol=ATOL)


@pytest.mark.parametrize("seed", SEEDS)
def test_mean_zero_and_population_variance_one(seed):
    reward_B, logp_BT, ref_BT, mask_BT = draw(seed)
    got = run(reward_B, logp_BT - ref_BT, mask_BT, beta=0.1)[mask_BT].astype(np.float64)
    assert abs(got.mean()) < UNIT_ATOL
    assert abs((got**2).mean() - got.mean() ** 2 - 1.0) < UNIT_ATOL


@pytest.mark.parametrize("seed", SEEDS)
def test_a_constant_added_to_all_rewards_changes_nothing(seed):
    reward_B, _, _, mask_BT = draw(seed)
    zeros_BT = np.zeros(mask_BT.shape, np.float32)
    before_BT = run(reward_B, zeros_BT, mask_BT, beta=0.0)
    after_BT = run(reward_B + np.float32(3.0), zeros_BT, mask_BT, beta=0.0)
    np.testing.assert_allclose(after_BT, before_BT, atol=ATOL)


@pytest.mark.parametrize("seed", SEEDS)
def test_padding_changes_nothing(seed):
    reward_B, logp_BT, ref_BT, mask_BT = draw(seed)
    kl_BT = logp_BT - ref_BT
    before_BT = run(reward_B, kl_BT, mask_BT, beta=0.1)
    wide_kl_BT = np.pad(kl_BT, ((0, 2), (0, 3)), constant_values=cases.GARBAGE)
    wide_mask_BT = np.pad(mask_BT, ((0, 2), (0, 3)))
    wide_reward_B = np.pad(reward_B, (0, 2), constant_values=7.0)
    after_BT = run(wide_reward_B, wide_kl_BT, wide_mask_BT, beta=0.1)
    np.testing.assert_allclose(after_BT[:-2, :-3], before_BT, atol=ATOL)
    assert np.all(after_BT[-2:] == 0.0) and np.all(after_BT[:, -3:] == 0.0)
