"""Advantages of answers within their group, the K samples of one prompt, and of several signals."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from waltzjax.core.advantages import equal_but_for_rounding

ORDERS = ("sum", "normalise")
GRPO_EPSILON = 1e-6  # beside the standard deviation, as in TRL and verl
# What is left of terms that cancel, as a part of their sizes, is GRPO_EPSILON's doing, beside
# deviations of 0.01 and more, and rounding's.
CANCELLED = 1e-4


def group_advantage(reward_PK: jax.Array, kind: str) -> jax.Array:
    """One advantage a sample, [P, K] float32, from what its group's samples earned.

    kind:
      "none": r itself; REINFORCE++ (arXiv 2501.03262) normalises it over the batch later.
      "mean": r - mean of the group: Dr. GRPO (arXiv 2503.20783, section 3.2), and REINFORCE++ with
        baseline.
      "grpo": (r - mean) / (std + 1e-6) (arXiv 2402.03300, section 4.1.2). The standard deviation is
        the population's; TRL and verl take Bessel's, a constant factor sqrt(K / (K - 1)) apart.
      "rloo": r - mean of the group's others (arXiv 2402.14740, eq. 8).

    Raises:
      ValueError: another kind; "rloo" of single samples, which have no others.
    """
    reward_PK = jnp.asarray(reward_PK, jnp.float32)
    samples = reward_PK.shape[1]
    # Exact zeros where all earned the same: their mean may be rounded.
    centred_PK = jnp.where(
        same_reward(reward_PK)[:, None], 0, reward_PK - reward_PK.mean(1, keepdims=True)
    )
    if kind == "none":
        return reward_PK
    if kind == "mean":
        return centred_PK
    if kind == "grpo":
        std_P1 = jnp.sqrt(jnp.square(centred_PK).mean(1, keepdims=True))
        return centred_PK / (std_P1 + GRPO_EPSILON)
    if kind == "rloo":
        if samples < 2:
            raise ValueError(
                f"config.rollout.group: got {samples}, allowed is >= 2: the baseline of 'rloo' is "
                "the mean of a group's other samples"
            )
        return centred_PK * (samples / (samples - 1))
    raise ValueError(f"group advantage: got {kind!r}, allowed are 'none', 'mean', 'grpo', 'rloo'")


def combine(signal_PKR: jax.Array, weight_R: Sequence[float], kind: str, order: str) -> jax.Array:
    """The advantages [P, K] of several reward signals.

    order "sum": of their weighted sum. order "normalise": the weighted sum of each signal's own,
    so that a signal of small spread is heard as well (GDPO, arXiv 2601.05242, without its
    normalisation over the batch). For linear kinds, all but "grpo", the two are the same. Where
    signals contradict each other so that nothing is left, it is exactly zero.
    """
    if order not in ORDERS:
        raise ValueError(f"order of signals: got {order!r}, allowed are {ORDERS}")
    signal_PKR = jnp.asarray(signal_PKR, jnp.float32)
    if order == "sum" or kind != "grpo":
        return group_advantage(weighted(signal_PKR, weight_R), kind)
    each_PKR = jnp.stack(
        [group_advantage(signal_PKR[..., r], kind) for r in range(len(weight_R))], axis=-1
    )
    total_PK = weighted(each_PKR, weight_R)
    size_PK = weighted(jnp.abs(each_PKR), [abs(w) for w in weight_R])
    return jnp.where(jnp.abs(total_PK) <= CANCELLED * size_PK, 0, total_PK)


def weighted(value_PKR: jax.Array, weight_R: Sequence[float]) -> jax.Array:
    """Their weighted sum [P, K]; the same for the same values, to the bit."""
    # Term by term: a matrix product may round equal rows differently.
    return sum((w * value_PKR[..., r] for r, w in enumerate(weight_R)), jnp.zeros(()))


def same_reward(reward_PK: jax.Array) -> jax.Array:
    """Which groups [P] have no variance but rounding's: no gradient but that of a penalty."""
    return equal_but_for_rounding(reward_PK, axis=1)
