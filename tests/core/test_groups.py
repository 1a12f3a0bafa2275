"""Advantages within groups of samples, and the two orders of several signals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import group_truth as truth

from waltzjax.core.advantages import combine, group_advantage, same_reward

JITTED = jax.jit(group_advantage, static_argnames="kind")
JITTED_COMBINE = jax.jit(combine, static_argnames=("weight_R", "kind", "order"))
SEEDS = (0, 1, 2)
SHAPES = [(1, 2), (5, 4), (3, 7), (16, 8)]  # P prompts, K samples a prompt
KINDS = ("none", "mean", "grpo", "rloo")
BASELINED = ("mean", "grpo", "rloo")
ORDERS = ("sum", "normalise")
GRID = 64  # rewards are multiples of 1/64: sums and weights of halves are exact in float32
ATOL = 1e-5  # float32 values of order 1; a deviation of at least 1/128 enlarges a rounding of 6e-8
HAND_ATOL = 1e-6  # six decimals and float32
EXACT = 1e-7  # one rounding of a value below 1
WEIGHTS = [(1.0, 0.5, 0.5), (1.0, -0.25, 2.0), (0.5, 0.0, 1.0)]


def draw(seed, P, K):
    """Rewards in about [-2, 2]; the last of several groups has one reward only."""
    rng = np.random.default_rng(seed)
    reward_PK = np.round(rng.normal(size=(P, K)) * GRID) / GRID
    if P > 1:
        reward_PK[-1] = reward_PK[-1, 0]
    return reward_PK.astype(np.float32)


def draw_signals(seed, P, K):
    """Three signals: right or wrong, a share, and a share that is 0 in every other group."""
    rng = np.random.default_rng(seed)
    share_PKR = rng.integers(0, GRID + 1, size=(P, K, 3)) / GRID
    share_PKR[..., 0] = share_PKR[..., 0] > 0.5
    share_PKR[::2, :, 2] = 0
    return share_PKR.astype(np.float32)


def advantage(reward_PK, kind):
    return np.asarray(group_advantage(jnp.asarray(reward_PK, jnp.float32), kind))


def combined(signal_PKR, weight_R, kind, order):
    return np.asarray(combine(jnp.asarray(signal_PKR, jnp.float32), weight_R, kind, order))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("P, K", SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_matches_the_reference(seed, P, K, kind):
    reward_PK = draw(seed, P, K)
    got_PK = advantage(reward_PK, kind)
    assert got_PK.dtype == np.float32
    np.testing.assert_allclose(got_PK, truth.group_advantage(reward_PK, kind), rtol=0, atol=ATOL)
    np.testing.assert_allclose(JITTED(reward_PK, kind), got_PK, rtol=0, atol=ATOL)


def test_one_right_of_four_by_hand():
    # 1 0 0 0: mean .25, deviations .75 and -.25 thrice, variance (.5625 + 3 * .0625) / 4 = .1875,
    # std .433013; rloo: 1 - 0 and 0 - 1/3, the mean of the others
    reward_PK = [[1.0, 0.0, 0.0, 0.0]]
    for kind, first, rest in (
        ("none", 1.0, 0.0),
        ("mean", 0.75, -0.25),
        ("grpo", 1.732047, -0.577349),
        ("rloo", 1.0, -0.333333),
    ):
        want_PK = [[first, rest, rest, rest]]
        np.testing.assert_allclose(advantage(reward_PK, kind), want_PK, rtol=0, atol=HAND_ATOL)


def test_the_deviation_is_the_populations():
    # 0 and 2: mean 1, population std 1 (Bessel's would be 1.414214): -1 and 1 over 1.000001
    got_PK = advantage([[0.0, 2.0]], "grpo")
    np.testing.assert_allclose(got_PK, [[-0.999999, 0.999999]], rtol=0, atol=EXACT)


def test_epsilon_stands_beside_the_deviation():
    # 0 and 2^-19: std 2^-20 = 9.536743e-7, so +-9.536743e-7 / 1.9536743e-6 = +-.488144; under the
    # root it would be +-.000953, and without it +-1
    got_PK = advantage([[0.0, 2.0**-19]], "grpo")
    np.testing.assert_allclose(got_PK, [[-0.488144, 0.488144]], rtol=0, atol=HAND_ATOL)


@pytest.mark.parametrize("reward", [0.0, 0.1, 0.7, 1 / 3, -2.3, 1e4 + 0.1])
@pytest.mark.parametrize("K", [1, 3, 4, 5, 7, 16])
def test_equal_rewards_give_exactly_zero(K, reward):
    # 0.1 + 0.1 + 0.1 is not 3 * 0.1: what is left of it, over 1e-6, would be an advantage
    reward_PK = np.full((3, K), reward, np.float32)
    np.testing.assert_array_equal(advantage(reward_PK, "grpo"), np.zeros((3, K)))
    signal_PKR = np.stack([reward_PK, draw(0, 3, K)], axis=-1)
    got_PK = combined(signal_PKR, (5.0, 1.0), "grpo", "normalise")
    np.testing.assert_allclose(got_PK, advantage(signal_PKR[..., 1], "grpo"), rtol=0, atol=ATOL)


@pytest.mark.parametrize("kind", BASELINED)
@pytest.mark.parametrize("P, K", SHAPES)
def test_a_constant_of_the_group_changes_nothing(P, K, kind):
    reward_PK = draw(4, P, K)
    shift_P1 = np.arange(-2, P - 2, dtype=np.float32)[:, None] / 4
    got_PK = advantage(reward_PK + shift_P1, kind)
    np.testing.assert_allclose(got_PK, advantage(reward_PK, kind), rtol=0, atol=ATOL)
    assert np.abs(got_PK).max() > 0.1


@pytest.mark.parametrize("scale", [4.0, -0.5])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("P, K", SHAPES)
def test_a_scale(P, K, kind, scale):
    reward_PK = draw(5, P, K)
    before_PK, after_PK = advantage(reward_PK, kind), advantage(scale * reward_PK, kind)
    if kind == "grpo":  # only the sign is left; epsilon weighs differently against the deviation
        sigma_P1 = reward_PK.astype(np.float64).std(axis=1, keepdims=True)
        sigma_P1 = np.where(sigma_P1 > 0, sigma_P1, 1)
        bound_PK = np.abs(before_PK) * truth.EPSILON / (min(1, abs(scale)) * sigma_P1) + ATOL
        assert (np.abs(after_PK - np.sign(scale) * before_PK) <= bound_PK).all()
    else:
        np.testing.assert_allclose(after_PK, scale * before_PK, rtol=0, atol=ATOL)
    assert np.abs(after_PK).max() > 0.1


@pytest.mark.parametrize("kind", BASELINED)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_group_sums_to_zero(seed, kind):
    got_PK = advantage(draw(seed, 16, 8), kind).astype(np.float64)
    np.testing.assert_allclose(got_PK.sum(axis=1), np.zeros(16), rtol=0, atol=8 * ATOL)
    if kind == "grpo":  # of mean square 1, but for the group without any variance
        np.testing.assert_allclose((got_PK**2).mean(axis=1), [1.0] * 15 + [0.0], atol=ATOL)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("P, K", SHAPES)
def test_permuted_samples_permute_the_result(P, K, kind):
    reward_PK = draw(6, P, K)
    order_PK = np.argsort(np.random.default_rng(6).random((P, K)), axis=1)
    got_PK = advantage(np.take_along_axis(reward_PK, order_PK, axis=1), kind)
    want_PK = np.take_along_axis(advantage(reward_PK, kind), order_PK, axis=1)
    np.testing.assert_allclose(got_PK, want_PK, rtol=0, atol=ATOL)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ORDERS)
def test_groups_do_not_leak_into_each_other(order, kind):
    signal_PKR = draw_signals(7, 6, 4)
    before_PK = combined(signal_PKR, WEIGHTS[0], kind, order)
    signal_PKR[2] = signal_PKR[2, ::-1] * 16 - 8
    after_PK = combined(signal_PKR, WEIGHTS[0], kind, order)
    others = np.arange(6) != 2
    np.testing.assert_array_equal(after_PK[others], before_PK[others])
    assert np.abs(after_PK[2] - before_PK[2]).max() > 0.1


def test_one_sample_a_prompt():
    reward_PK = np.float32([[0.3], [-2.0]])
    np.testing.assert_array_equal(advantage(reward_PK, "none"), reward_PK)
    for kind in ("mean", "grpo"):
        np.testing.assert_array_equal(advantage(reward_PK, kind), [[0.0], [0.0]])
    with pytest.raises(ValueError, match=r"config\.rollout\.group"):
        advantage(reward_PK, "rloo")
    for order in ORDERS:
        with pytest.raises(ValueError, match=r"config\.rollout\.group"):
            combined(reward_PK[..., None], (1.0,), "rloo", order)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("weight_R", WEIGHTS)
@pytest.mark.parametrize("seed", SEEDS)
def test_combine_matches_the_reference(seed, weight_R, order, kind):
    signal_PKR = draw_signals(seed, 6, 5)
    got_PK = combined(signal_PKR, weight_R, kind, order)
    want_PK = truth.combine(signal_PKR, weight_R, kind, order)
    assert got_PK.dtype == np.float32
    np.testing.assert_allclose(got_PK, want_PK, rtol=0, atol=ATOL)
    jitted_PK = JITTED_COMBINE(signal_PKR, weight_R, kind, order)
    np.testing.assert_allclose(jitted_PK, want_PK, rtol=0, atol=ATOL)


@pytest.mark.parametrize("kind", ["none", "mean", "rloo"])
@pytest.mark.parametrize("seed", SEEDS)
def test_both_orders_agree_where_the_advantage_is_linear(seed, kind):
    signal_PKR = np.random.default_rng(seed).normal(size=(6, 5, 3)).astype(np.float32)
    weight_R = (0.7, 0.2, -0.1)
    sum_PK, normalise_PK = (combined(signal_PKR, weight_R, kind, order) for order in ORDERS)
    np.testing.assert_allclose(sum_PK, normalise_PK, rtol=0, atol=ATOL)
    assert np.abs(sum_PK).max() > 0.5


def test_the_orders_differ_for_grpo_by_hand():
    # Two samples, two signals. Whatever a sum's distance, its two z-scores are +-1:
    #   right and well formed against neither: sums 2 and 0: +-1; each signal alone +-1: +-2
    #   right against wrong, both well formed: sums 2 and 1: +-1; +-1 and 0: +-1
    #   right against well formed: sums 1 and 1: 0; +-1 and -+1: 0
    # epsilon: 1 / 1.000001 of the first, .5 / .500001 of the rest: .999999 and .999998
    signal_PKR = [[[1, 1], [0, 0]], [[1, 1], [0, 1]], [[1, 0], [0, 1]]]
    got_PK = combined(signal_PKR, (1.0, 1.0), "grpo", "sum")
    want_PK = [[0.999999, -0.999999], [0.999998, -0.999998], [0.0, 0.0]]
    np.testing.assert_allclose(got_PK, want_PK, rtol=0, atol=HAND_ATOL)
    got_PK = combined(signal_PKR, (1.0, 1.0), "grpo", "normalise")
    want_PK = [[1.999996, -1.999996], [0.999998, -0.999998], [0.0, 0.0]]
    np.testing.assert_allclose(got_PK, want_PK, rtol=0, atol=HAND_ATOL)
    # With weights 1 and .5 the third has sums 1 and .5: +-.25 / .250001; and 1 - .5 of .999998
    got_P = [combined(signal_PKR, (1.0, 0.5), "grpo", order)[2, 0] for order in ORDERS]
    np.testing.assert_allclose(got_P, [0.999996, 0.499999], rtol=0, atol=HAND_ATOL)


@pytest.mark.parametrize(
    ("signal_KR", "weight_R"),
    [
        ([[1, 0], [0, 1]], (1.0, 1.0)),
        ([[1, 0.4], [0, 0.5]], (1.0, 1.0)),
        ([[1, 0.2], [0.5, 0.3], [0, 0.4]], (0.3, 0.3)),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], (0.7, 0.7, 0.7)),  # one each: +2 -1 -1
        ([[1, 0.25], [0, 0]], (0.5, -0.5)),
        ([[0.1, 0.2, 0.8], [0.7, 0.8, 0.6]], (1.0, 1.0, 2.0)),
    ],
)
def test_signals_that_cancel_leave_exact_zeros(signal_KR, weight_R):
    got_PK = combined([signal_KR, [*reversed(signal_KR)]], weight_R, "grpo", "normalise")
    np.testing.assert_array_equal(got_PK, np.zeros_like(got_PK))
    signal_KR[0][0] += 0.1 * (len(signal_KR) > 2)  # two samples' z-scores know no distance
    got_PK = combined([signal_KR], (1.01 * weight_R[0], *weight_R[1:]), "grpo", "normalise")
    assert np.abs(got_PK).max() > 0.002


def test_one_signal_of_weight_one_is_its_own_advantage():
    reward_PK = draw(8, 5, 4)
    for kind in KINDS:
        for order in ORDERS:
            got_PK = combined(reward_PK[..., None], (1.0,), kind, order)
            np.testing.assert_allclose(got_PK, advantage(reward_PK, kind), rtol=0, atol=ATOL)


@pytest.mark.parametrize("P, K", [*SHAPES, (4, 1)])
def test_same_reward(P, K):
    reward_PK = draw(9, P, K)
    got_P = np.asarray(same_reward(jnp.asarray(reward_PK)))
    assert got_P.dtype == bool
    np.testing.assert_array_equal(got_P, truth.same_reward(reward_PK))
    np.testing.assert_array_equal(jax.jit(same_reward)(reward_PK), got_P)


def test_same_reward_by_hand():
    # Three times 0.1, one step of float32 away from 1, and 1e-5 away from it: the first two are one
    # reward, in whatever order it was summed.
    step = np.nextafter(np.float32(1), np.float32(2))
    reward_PK = [[0.1, 0.1, 0.1], [1, 1, step], [0, 0, 0], [-1, 0, 1], [2, -2, 2], [1, 1, 1.00001]]
    got_P = np.asarray(same_reward(jnp.asarray(np.float32(reward_PK))))
    np.testing.assert_array_equal(got_P, [True, True, True, False, False, False])


@pytest.mark.parametrize("kind", BASELINED)
@pytest.mark.parametrize("order", ORDERS)
def test_signals_whose_weighted_sums_round_differently_are_no_signal(order, kind):
    # 0.65 + 0.25 + 0.1 against 0.1 + 0.25 + 0.65; three answers each best in one; none in any
    signal_PKR = np.float32(
        [
            [[0.65, 0.25, 0.1], [0.1, 0.25, 0.65], [0.25, 0.65, 0.1]],
            [[0.7, 0.1, 0.1], [0.1, 0.7, 0.1], [0.1, 0.1, 0.7]],
            [[0.3, 0.3, 0.3]] * 3,
        ]
    )
    got_PK = combined(signal_PKR, (1.0, 1.0, 1.0), kind, order)
    same_P = [True, True, True] if order == "sum" else [False, True, True]
    if kind != "grpo":
        same_P[0] = True
    np.testing.assert_array_equal(got_PK[same_P], np.zeros((sum(same_P), 3)))
