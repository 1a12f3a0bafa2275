"""Advantages: from rewards to one advantage a token, and of answers within their group.

A group is the K samples of one prompt; several signals of an answer are combined here too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

VARIANCE_FLOOR = 1e-8
# Rewards this close, as a part of the largest or of 1, are equal but for float32's rounding (2^-24
# a term). Divided by their own spread they would be advantages, of noise alone.
ROUNDING = 2.0**-20


def equal_but_for_rounding(x: jax.Array, axis: int | None = None, where=None) -> jax.Array:
    """Whether all of ``x`` along ``axis`` (None: the whole array) are one number, bool; entries
    where ``where`` is False are left out, and of none or one entry it is True."""
    kept = True if where is None else where
    spread = jnp.max(x, axis, where=kept, initial=-jnp.inf) - jnp.min(
        x, axis, where=kept, initial=jnp.inf
    )
    return spread <= ROUNDING * jnp.max(jnp.abs(x), axis, where=kept, initial=1)


def masked_z_score(x_BT: jax.Array, mask_BT: jax.Array) -> jax.Array:
    """(x - mean) / std over the unmasked entries, zero elsewhere.

    Population variance, clamped below at 1e-8 (OpenRLHF; verl uses Bessel's correction). Entries
    that are equal but for rounding are exact zeros: an optimiser that divides by the gradient's
    own size, as Adam does, would make whole steps of what is left of them.
    """
    count = jnp.maximum(mask_BT.sum(), 1)
    # From the least entry on: a sum of large rewards would round their small differences away.
    above = jnp.where(mask_BT, x_BT - jnp.min(x_BT, where=mask_BT, initial=jnp.inf), 0)
    centred = jnp.where(mask_BT, above - above.sum() / count, 0)
    centred = jnp.where(equal_but_for_rounding(x_BT, where=mask_BT), 0, centred)
    variance = jnp.square(centred).sum() / count
    return centred * jax.lax.rsqrt(jnp.maximum(variance, VARIANCE_FLOOR))


def kl_to_come(kl_BT: jax.Array, start_BT: jax.Array | None) -> jax.Array:
    """sum_{j >= i} kl_j over the rest of token i's text; ``start_BT`` as in ``types.PolicyBatch``.

    Texts are summed apart: a long row's total would leave little of float32 to a short text's.
    """
    if start_BT is None:
        return jnp.cumsum(kl_BT[:, ::-1], axis=1)[:, ::-1]
    ends_BT = jnp.pad(start_BT[:, 1:] != start_BT[:, :-1], ((0, 0), (0, 1)))

    def join(later, earlier):
        (later_sum, later_ends), (own_sum, own_ends) = later, earlier
        return jnp.where(own_ends, own_sum, own_sum + later_sum), later_ends | own_ends

    return jax.lax.associative_scan(join, (kl_BT, ends_BT), axis=1, reverse=True)[0]


def token_advantages(
    text_advantage_BT: jax.Array,
    kl_BT: jax.Array,
    mask_BT: jax.Array,
    start_BT: jax.Array | None,
    *,
    beta: jax.Array,
    normalise: bool,
) -> jax.Array:
    """Advantages [B, T], zero off the mask: REINFORCE++ (arXiv 2501.03262, eq. 4) where normalised.

    A_i = A - beta sum_{j >= i} kl_j over the trained tokens of i's text (discount 1); with
    ``normalise`` then one z-score over all trained tokens of the agent's batch.

    Args:
      text_advantage_BT: A, each text's one advantage, at its trained tokens; REINFORCE++ has the
        text's clipped reward in its place.
      kl_BT: per-token KL estimate against the reference, nats.
      mask_BT: bool, tokens the policy emitted.
      start_BT: where each token's text begins, with several texts a row; None: one text a row.
      beta: the KL's coefficient, >= 0, what goes together with [B, T]; 0 leaves it out.
    """
    to_come_BT = kl_to_come(jnp.where(mask_BT, kl_BT, 0), start_BT)
    return_BT = text_advantage_BT - beta * to_come_BT
    return masked_z_score(return_BT, mask_BT) if normalise else jnp.where(mask_BT, return_BT, 0)


ORDERS = ("sum", "normalise")
GRPO_EPSILON = 1e-6  # beside the standard deviation, as in TRL and verl
# The most that terms that cancel leave, as a part of their sizes; it comes from GRPO_EPSILON,
# beside deviations of 0.01 and more, and from rounding.
CANCELLED = 1e-4


class Baseline(NamedTuple):
    """A way to compare the rewards within a group of answers to one prompt.

    advantage: (rewards [P, K], the same less their group's mean) -> advantages [P, K]; float32.
    linear: whether the advantage of a sum of rewards is the sum of their advantages.
    """

    advantage: Callable[[jax.Array, jax.Array], jax.Array]
    linear: bool


def _standardised(reward_PK: jax.Array, centred_PK: jax.Array) -> jax.Array:
    del reward_PK
    std_P1 = jnp.sqrt(jnp.square(centred_PK).mean(1, keepdims=True))
    return centred_PK / (std_P1 + GRPO_EPSILON)


def _leave_one_out(reward_PK: jax.Array, centred_PK: jax.Array) -> jax.Array:
    samples = reward_PK.shape[1]
    if samples < 2:
        raise ValueError(
            f"config.rollout.group: got {samples}, allowed is >= 2: the baseline of 'rloo' is the "
            "mean of a group's other samples"
        )
    return centred_PK * (samples / (samples - 1))


# none: r itself; REINFORCE++ (arXiv 2501.03262) normalises it over the batch later.
# mean: r - mean of the group: Dr. GRPO (arXiv 2503.20783, section 3.2), REINFORCE++ with baseline.
# grpo: (r - mean) / (std + 1e-6) (arXiv 2402.03300, section 4.1.2). The standard deviation is the
#   population's; TRL and verl take Bessel's, a constant factor sqrt(K / (K - 1)) apart.
# rloo: r - mean of the group's others (arXiv 2402.14740, eq. 8).
BASELINES = {
    "none": Baseline(lambda reward_PK, centred_PK: reward_PK, linear=True),
    "mean": Baseline(lambda reward_PK, centred_PK: centred_PK, linear=True),
    "grpo": Baseline(_standardised, linear=False),
    "rloo": Baseline(_leave_one_out, linear=True),
}


def group_advantage(reward_PK: jax.Array, kind: str) -> jax.Array:
    """One advantage a sample, [P, K] float32, from what its group's samples earned.

    Args:
      kind: a key of BASELINES.

    Raises:
      ValueError: another kind; "rloo" of single samples, which have no others.
    """
    if kind not in BASELINES:
        raise ValueError(f"group advantage: got {kind!r}, allowed are {', '.join(BASELINES)}")
    reward_PK = jnp.asarray(reward_PK, jnp.float32)
    # Exact zeros where all earned the same: their mean may be rounded.
    centred_PK = jnp.where(
        same_reward(reward_PK)[:, None], 0, reward_PK - reward_PK.mean(1, keepdims=True)
    )
    return BASELINES[kind].advantage(reward_PK, centred_PK)


def combine(
    signal_PKR: jax.Array,
    weight_R: Sequence[float],
    kind: str,
    order: str,
    *,
    reward_clip: float = math.inf,
) -> jax.Array:
    """The advantages [P, K] of several reward signals.

    order "sum": of their weighted sum. order "normalise": the weighted sum of each signal's own,
    so that a signal of small spread is heard as well (GDPO, arXiv 2601.05242, without its
    normalisation over the batch). For linear baselines the two are the same. Where signals
    contradict each other so that nothing is left, it is exactly zero. What is compared, the sum or
    each signal, is clipped to ±``reward_clip`` before; advantages never are.
    """
    if order not in ORDERS:
        raise ValueError(f"order of signals: got {order!r}, allowed are {ORDERS}")
    signal_PKR = jnp.asarray(signal_PKR, jnp.float32)
    if order == "sum" or kind not in BASELINES or BASELINES[kind].linear:
        earned_PK = weighted(signal_PKR, weight_R)
        return group_advantage(jnp.clip(earned_PK, -reward_clip, reward_clip), kind)
    signal_PKR = jnp.clip(signal_PKR, -reward_clip, reward_clip)
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
