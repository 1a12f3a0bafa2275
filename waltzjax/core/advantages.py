"""From one scalar reward a row to one advantage a token."""

from __future__ import annotations

import jax
import jax.numpy as jnp

VARIANCE_FLOOR = 1e-8


def masked_z_score(x_BT: jax.Array, mask_BT: jax.Array) -> jax.Array:
    """(x - mean) / std over the unmasked entries, zero elsewhere.

    Population variance, clamped below at 1e-8 (OpenRLHF; verl uses Bessel's correction).
    """
    count = jnp.maximum(mask_BT.sum(), 1)
    centred = jnp.where(mask_BT, x_BT - jnp.where(mask_BT, x_BT, 0).sum() / count, 0)
    variance = jnp.square(centred).sum() / count
    return centred * jax.lax.rsqrt(jnp.maximum(variance, VARIANCE_FLOOR))


def reinforce_pp(
    reward_B: jax.Array,
    kl_BT: jax.Array,
    mask_BT: jax.Array,
    *,
    beta_B: jax.Array,
    reward_clip: float = 10.0,
) -> jax.Array:
    """REINFORCE++ (arXiv 2501.03262, eq. 4 and the batch normalisation that follows).

    A_i = clip(R, ±reward_clip) - beta sum_{j >= i} kl_j, then one z-score over all trained
    tokens of the agent's batch (discount 1).

    Args:
      reward_B: one scalar a row.
      kl_BT: per-token KL estimate against the reference, nats.
      beta_B: its coefficient, >= 0; 0 leaves it out.
      mask_BT: bool, tokens the policy emitted.
    """
    kl_BT = jnp.where(mask_BT, kl_BT, 0)
    kl_to_come_BT = jnp.cumsum(kl_BT[:, ::-1], axis=1)[:, ::-1]
    return_BT = jnp.clip(reward_B, -reward_clip, reward_clip)[:, None]
    return_BT -= beta_B[:, None] * kl_to_come_BT
    return masked_z_score(return_BT, mask_BT)
