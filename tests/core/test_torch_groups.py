"""Group advantages against PyTorch, as trainers with flat batches compute them."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from waltzjax.core.advantages import combine, group_advantage

SEEDS = (0, 1, 2)
ATOL = 1e-5  # float32 values of order 1 on both sides
P, K = 12, 6
WEIGHT = (1.0, 0.5, -0.25)


def flat_advantage(reward_N, kind, correction=0):
    """[P * K], a prompt's samples one after another: views, repeated means, a leave-one-out sum."""
    group_PK = reward_N.view(-1, K)
    mean_N = group_PK.mean(dim=1).repeat_interleave(K)
    if kind == "none":
        return reward_N
    if kind == "rloo":
        sum_N = group_PK.sum(dim=1).repeat_interleave(K)
        return reward_N - (sum_N - reward_N) / (K - 1)
    if kind == "grpo":
        std_N = group_PK.std(dim=1, correction=correction).repeat_interleave(K)
        return (reward_N - mean_N) / (std_N + 1e-6)
    return reward_N - mean_N


def draw(seed):
    return np.random.default_rng(seed).normal(size=(P, K, len(WEIGHT))).astype(np.float32)


@pytest.mark.parametrize("kind", ["none", "mean", "grpo", "rloo"])
@pytest.mark.parametrize("seed", SEEDS)
def test_both_orders(seed, kind):
    signal_PKR = draw(seed)
    flat_NR = torch.tensor(signal_PKR.reshape(P * K, -1))
    weight_R = torch.tensor(WEIGHT)
    want = {
        "sum": flat_advantage((flat_NR * weight_R).sum(dim=1), kind),
        "normalise": sum(
            w * flat_advantage(x, kind) for w, x in zip(WEIGHT, flat_NR.T, strict=True)
        ),
    }
    for order, want_N in want.items():
        got_PK = np.asarray(combine(jnp.asarray(signal_PKR), WEIGHT, kind, order))
        np.testing.assert_allclose(got_PK.ravel(), want_N.numpy(), rtol=0, atol=ATOL)


@pytest.mark.parametrize("seed", SEEDS)
def test_rloo_is_the_mean_baseline_enlarged(seed):
    reward_PK = jnp.asarray(draw(seed)[..., 0])
    rloo_PK, mean_PK = (np.asarray(group_advantage(reward_PK, k)) for k in ("rloo", "mean"))
    np.testing.assert_allclose(rloo_PK, K / (K - 1) * mean_PK, rtol=0, atol=ATOL)


@pytest.mark.parametrize("seed", SEEDS)
def test_trainers_with_bessels_deviation_give_less(seed):
    """torch.std's default divides by K - 1: their advantages are ours times sqrt((K - 1) / K)."""
    reward_PK = draw(seed)[..., 0]
    theirs_N = flat_advantage(torch.tensor(reward_PK.ravel()), "grpo", correction=1).numpy()
    ours_PK = np.asarray(group_advantage(jnp.asarray(reward_PK), "grpo"))
    np.testing.assert_allclose(theirs_N, np.sqrt((K - 1) / K) * ours_PK.ravel(), rtol=0, atol=ATOL)
