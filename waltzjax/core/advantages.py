"""From one scalar reward a row to one advantage a token."""

from __future__ import annotations

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
    reward_BT: jax.Array,
    kl_BT: jax.Array,
    mask_BT: jax.Array,
    start_BT: jax.Array | None,
    *,
    beta: jax.Array,
    reward_clip: float,
    normalise: bool,
) -> jax.Array:
    """Advantages [B, T], zero off the mask: REINFORCE++ (arXiv 2501.03262, eq. 4) where normalised.

    A_i = clip(R, ±reward_clip) - beta sum_{j >= i} kl_j over the trained tokens of i's text
    (discount 1); with ``normalise`` then one z-score over all trained tokens of the agent's batch.

    Args:
      reward_BT: each text's one reward, at its trained tokens.
      kl_BT: per-token KL estimate against the reference, nats.
      mask_BT: bool, tokens the policy emitted.
      start_BT: where each token's text begins, with several texts a row; None: one text a row.
      beta: the KL's coefficient, >= 0, what goes together with [B, T]; 0 leaves it out.
      reward_clip: > 0.
    """
    to_come_BT = kl_to_come(jnp.where(mask_BT, kl_BT, 0), start_BT)
    return_BT = jnp.clip(reward_BT, -reward_clip, reward_clip) - beta * to_come_BT
    return masked_z_score(return_BT, mask_BT) if normalise else jnp.where(mask_BT, return_BT, 0)
