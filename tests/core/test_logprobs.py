"""Blocked token log-probs against the float64 reference."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import numpy_truth as truth

from waltzjax.core.logprobs import token_logprobs

SEEDS = (0, 1, 2)
RTOL = 2e-6  # a handful of float32 operations on each element
ATOL = 1e-6  # exact but for float32's rounding
LOGP_ATOL = 1e-5  # a float32 sum over width and over vocabulary, values up to about 10 nats
GRAD_ATOL = 1e-5  # as LOGP_ATOL, gradients of order 1
HALF_ATOL = 0.05  # bfloat16 keeps 8 bits, of gradients up to about 5


@pytest.fixture(autouse=True)
def full_float32_products():
    """Some accelerators round float32 products to ten bits unless told not to."""
    with jax.default_matmul_precision("highest"):
        yield


def draw_head(rng, B, T, D, V, scale=1.0):
    hidden_BTD = (scale * rng.normal(size=(B, T, D))).astype(np.float32)
    unembed_VD = (rng.normal(size=(V, D)) / math.sqrt(D)).astype(np.float32)
    targets_BT = rng.integers(0, V, size=(B, T)).astype(np.int32)
    return hidden_BTD, unembed_VD, targets_BT


def reference_head(hidden_BTD, unembed_VD, targets_BT, temperature):
    logits_BTV = hidden_BTD.astype(np.float64) @ unembed_VD.astype(np.float64).T
    pairs = list(zip(logits_BTV, targets_BT, strict=True))
    logp_BT = [truth.token_log_probs(z_TV, y_T, temperature) for z_TV, y_T in pairs]
    entropy_BT = [truth.entropy(z_TV, temperature) for z_TV, _ in pairs]
    return np.stack(logp_BT), np.stack(entropy_BT)


@pytest.mark.parametrize("block", [1, 4, 5, 9, 19, 64])
@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.5])
def test_token_logprobs_matches_the_reference_for_any_block(block, temperature):
    # 21 tokens, vocabulary 19: the last block has 1, 3, 4, 1, 19 and 19
    arrays = draw_head(np.random.default_rng(5), 3, 7, 8, 19, scale=2.0)
    logp_BT, entropy_BT, _ = token_logprobs(
        *map(jnp.asarray, arrays), temperature=temperature, block=block
    )
    want_logp_BT, want_entropy_BT = reference_head(*arrays, temperature)
    assert logp_BT.shape == entropy_BT.shape == (3, 7)
    assert logp_BT.dtype == entropy_BT.dtype == jnp.float32
    np.testing.assert_allclose(logp_BT, want_logp_BT, atol=LOGP_ATOL)
    np.testing.assert_allclose(entropy_BT, want_entropy_BT, atol=LOGP_ATOL)


@pytest.mark.parametrize("seed", SEEDS)
def test_token_logprobs_on_random_shapes(seed):
    rng = np.random.default_rng(seed)
    B, T, block = (int(n) for n in rng.integers(1, 9, size=3))
    arrays = draw_head(rng, B, T, 6, 11)
    function = jax.jit(token_logprobs, static_argnames=("block", "temperature"))
    logp_BT, entropy_BT, _ = function(*map(jnp.asarray, arrays), temperature=1.0, block=block)
    want_logp_BT, want_entropy_BT = reference_head(*arrays, 1.0)
    np.testing.assert_allclose(logp_BT, want_logp_BT, atol=LOGP_ATOL)
    np.testing.assert_allclose(entropy_BT, want_entropy_BT, atol=LOGP_ATOL)


def test_token_logprobs_by_hand():
    # Logits (ln 3, 0) at temperature 1: p = 3/4, 1/4; at temperature 1/2: p = 9/10, 1/10.
    hidden_BTD = jnp.array([[[math.log(3.0), 0.0], [math.log(3.0), 0.0]]])
    targets_BT = jnp.array([[0, 1]])
    for temperature, p in ((1.0, 0.75), (0.5, 0.9)):
        logp_BT, entropy_BT, _ = token_logprobs(
            hidden_BTD, jnp.eye(2), targets_BT, temperature=temperature, block=2
        )
        np.testing.assert_allclose(logp_BT, [[math.log(p), math.log(1 - p)]], atol=ATOL)
        h = -p * math.log(p) - (1 - p) * math.log(1 - p)
        np.testing.assert_allclose(entropy_BT, [[h, h]], atol=ATOL)


def test_token_logprobs_stays_finite_at_huge_logits():
    hidden_BTD = jnp.array([[[500.0, 0.0, -500.0]] * 3])
    logp_BT, entropy_BT, _ = token_logprobs(
        hidden_BTD, jnp.eye(3), jnp.array([[0, 1, 2]]), temperature=1.0, block=2
    )
    np.testing.assert_allclose(logp_BT, [[0.0, -500.0, -1000.0]], rtol=RTOL, atol=ATOL)
    np.testing.assert_allclose(entropy_BT, np.zeros((1, 3)), atol=ATOL)


@pytest.mark.parametrize("block", [2, 5, 64])
def test_token_logprobs_gradients(block):
    # d logp(y) / d logits = (onehot(y) - p) / temperature, and
    # d entropy / d logits = -p (log p + entropy) / temperature, pushed through the unembedding
    temperature = 0.7
    rng = np.random.default_rng(6)
    hidden_BTD, unembed_VD, targets_BT = draw_head(rng, 2, 7, 5, 9)
    weight_BT, bonus_BT = rng.normal(size=(2, 2, 7)).astype(np.float32)

    def total(hidden_BTD, unembed_VD):
        logp_BT, entropy_BT, _ = token_logprobs(
            hidden_BTD, unembed_VD, jnp.asarray(targets_BT), temperature=temperature, block=block
        )
        return (logp_BT * weight_BT + entropy_BT * bonus_BT).sum()

    got = jax.grad(total, argnums=(0, 1))(jnp.asarray(hidden_BTD), jnp.asarray(unembed_VD))
    hidden, unembed = hidden_BTD.astype(np.float64), unembed_VD.astype(np.float64)
    z_BTV = hidden @ unembed.T / temperature
    p_BTV = np.exp(z_BTV - z_BTV.max(-1, keepdims=True))
    p_BTV /= p_BTV.sum(-1, keepdims=True)
    onehot_BTV = np.eye(9)[targets_BT]
    surprise_BTV = np.log(p_BTV)
    entropy_BT1 = -(p_BTV * surprise_BTV).sum(-1, keepdims=True)
    dlogits_BTV = weight_BT[..., None] * (onehot_BTV - p_BTV)
    dlogits_BTV -= bonus_BT[..., None] * p_BTV * (surprise_BTV + entropy_BT1)
    dlogits_BTV /= temperature
    np.testing.assert_allclose(got[0], dlogits_BTV @ unembed, atol=GRAD_ATOL)
    want_VD = np.einsum("BTD,BTV->VD", hidden, dlogits_BTV)
    np.testing.assert_allclose(got[1], want_VD, atol=GRAD_ATOL)


def truncated_by_hand(logits_NV, target_N, temperature, count_N):
    """The ``count_N`` most probable tokens: kept [N, V], cutoff_gap [N], log-probabilities
    and entropies [N]."""
    scaled_NV = logits_NV.astype(np.float64) / temperature
    falling_NV = -np.sort(-scaled_NV)
    last_N, next_N = (
        np.take_along_axis(falling_NV, (count_N + i)[:, None], 1)[:, 0] for i in (-1, 0)
    )
    chosen_N = np.take_along_axis(scaled_NV, target_N[:, None], 1)[:, 0]
    kept_NV = scaled_NV >= last_N[:, None]
    mass_NV = np.where(kept_NV, np.exp(scaled_NV), 0)
    p_NV = mass_NV / mass_NV.sum(-1, keepdims=True)
    entropy_N = -(p_NV * np.log(np.where(kept_NV, p_NV, 1))).sum(-1)
    logp_N = np.log(np.take_along_axis(p_NV, target_N[:, None], 1)[:, 0])
    return p_NV, chosen_N - (last_N + next_N) / 2, logp_N, entropy_N


@pytest.mark.parametrize("block", [2, 5, 64])
def test_token_logprobs_of_truncated_distributions(block):
    """Each token has its own cutoff: 1 to 7 of 9 tokens are kept, the target the last of them."""
    temperature, N, V = 0.7, 28, 9
    rng = np.random.default_rng(6)
    hidden_BTD, unembed_VD, _ = draw_head(rng, 4, 7, 5, V, scale=2.0)
    weight_BT, bonus_BT, penalty_BT = rng.normal(size=(3, 4, 7)).astype(np.float32)
    hidden_ND = hidden_BTD.astype(np.float64).reshape(N, 5)
    logits_NV = hidden_ND @ unembed_VD.T.astype(np.float64)
    count_N = np.arange(N) % 7 + 1
    order_NV = np.argsort(-logits_NV, axis=1)
    target_N = order_NV[np.arange(N), rng.integers(0, count_N)]
    p_NV, cutoff_gap_N, want_logp_N, want_entropy_N = truncated_by_hand(
        logits_NV, target_N, temperature, count_N
    )
    full_NV, _, want_full_N, _ = truncated_by_hand(
        np.pad(logits_NV, ((0, 0), (0, 1)), constant_values=-1e6), target_N, temperature,
        np.full(N, V),
    )  # fmt: skip

    def all_three(hidden_BTD, unembed_VD):
        return token_logprobs(
            hidden_BTD, unembed_VD, jnp.asarray(target_N).reshape(4, 7), temperature=temperature,
            block=block, cutoff_gap_BT=jnp.asarray(cutoff_gap_N, jnp.float32).reshape(4, 7),
        )  # fmt: skip

    def total(hidden_BTD, unembed_VD):
        logp_BT, entropy_BT, full_BT = all_three(hidden_BTD, unembed_VD)
        return (logp_BT * weight_BT + entropy_BT * bonus_BT + full_BT * penalty_BT).sum()

    logp_BT, entropy_BT, full_BT = all_three(hidden_BTD, unembed_VD)
    np.testing.assert_allclose(logp_BT.ravel(), want_logp_N, atol=LOGP_ATOL)
    np.testing.assert_allclose(entropy_BT.ravel(), want_entropy_N, atol=LOGP_ATOL)
    np.testing.assert_allclose(full_BT.ravel(), want_full_N, atol=LOGP_ATOL)
    got = jax.grad(total, argnums=(0, 1))(jnp.asarray(hidden_BTD), jnp.asarray(unembed_VD))
    weight_N1, bonus_N1 = weight_BT.reshape(N, 1), bonus_BT.reshape(N, 1)
    surprise_NV = np.log(np.where(p_NV > 0, p_NV, 1)) + want_entropy_N[:, None]
    dlogits_NV = weight_N1 * (np.eye(V)[target_N] - p_NV) - bonus_N1 * p_NV * surprise_NV
    dlogits_NV += penalty_BT.reshape(N, 1) * (np.eye(V)[target_N] - full_NV[:, :V])
    dlogits_NV /= temperature
    np.testing.assert_allclose(
        got[0].reshape(N, 5), dlogits_NV @ unembed_VD, atol=GRAD_ATOL
    )  # fmt: skip
    np.testing.assert_allclose(got[1], dlogits_NV.T @ hidden_ND, atol=GRAD_ATOL)


def test_reach_of_infinity_leaves_nothing_out():
    arrays = [jnp.asarray(a) for a in draw_head(np.random.default_rng(6), 2, 7, 5, 9)]
    whole = token_logprobs(*arrays, temperature=0.7, block=4)
    far = token_logprobs(*arrays, temperature=0.7, block=4, cutoff_gap_BT=jnp.full((2, 7), jnp.inf))
    assert whole.full_logp_BT is None
    np.testing.assert_allclose(np.asarray(far[:2]), np.asarray(whole[:2]), rtol=0, atol=ATOL)
    np.testing.assert_allclose(far.full_logp_BT, whole.logp_BT, rtol=0, atol=ATOL)


def test_token_logprobs_in_half_precision():
    """Hidden states in bfloat16, weights in float32: both gradients come back in those types, as
    near to the float32 ones as rounding the logits' gradient to bfloat16 allows."""
    rng = np.random.default_rng(8)
    hidden_BTD, unembed_VD, targets_BT = map(jnp.asarray, draw_head(rng, 2, 7, 32, 19))
    rounded_BTD, rounded_VD = (x.astype(jnp.bfloat16) for x in (hidden_BTD, unembed_VD))

    def total(hidden_BTD, unembed_VD):
        logp_BT, *_ = token_logprobs(hidden_BTD, unembed_VD, targets_BT, temperature=1.0, block=4)
        return logp_BT.sum()

    half = jax.grad(total, argnums=(0, 1))(rounded_BTD, unembed_VD)
    exact = jax.grad(total, argnums=(0, 1))(
        rounded_BTD.astype(jnp.float32), rounded_VD.astype(jnp.float32)
    )
    assert (half[0].dtype, half[1].dtype) == (jnp.bfloat16, jnp.float32)
    for got, want in zip(half, exact, strict=True):
        np.testing.assert_allclose(got.astype(jnp.float32), want, atol=HALF_ATOL)


def test_no_array_holds_more_logits_than_asked():
    """64 tokens, vocabulary 96, by blocks of 12, forward and backward."""
    hidden_BTD, unembed_VD, targets_BT = draw_head(np.random.default_rng(9), 4, 16, 5, 96)

    def total(hidden_BTD, unembed_VD):
        logp_BT, entropy_BT, _ = token_logprobs(
            hidden_BTD, unembed_VD, targets_BT, temperature=1.0, block=12
        )
        return (logp_BT + entropy_BT).sum()

    text = jax.jit(jax.grad(total, argnums=(0, 1))).lower(hidden_BTD, unembed_VD).as_text()
    assert "tensor<64x12xf32>" in text
    assert not re.search(r"tensor<(64x96|96x64|4x16x96)xf32>", text)
