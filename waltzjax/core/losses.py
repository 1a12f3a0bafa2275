"""Losses and the KL to a reference policy: they see log-probabilities and a batch, never the model.

Every loss and every metric here is a SUM weighted by ``batch.weight_BT``. The weights sum to 1
over a whole update, so neither microbatches nor devices change a gradient.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def nll(logp_BT: jax.Array, batch) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Negative log-likelihood of the action tokens, nats."""
    return -jnp.sum(batch.weight_BT * jnp.where(batch.action_BT, logp_BT, 0)), {}


def clipped_pg(
    logp_BT: jax.Array,
    batch,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """PPO's clipped surrogate (arXiv 1707.06347, eq. 7), with asymmetric clipping.

    s = exp(clamp(logp - old_logp, ±20)); objective min(s A, clip(s, 1 - lo, 1 + hi) A), and for
    A < 0 at least dual_clip * A (dual clip, arXiv 1912.09729, eq. 5) unless that is None.
    Weighted per sequence this is the WaltzRL loss (arXiv 2510.08240); per token, OpenRLHF's.

    Returns:
      The loss, and {"clip_fraction": weighted share of tokens where clipping binds}.
    """
    log_ratio_BT = jnp.where(batch.action_BT, logp_BT - batch.old_logp_BT, 0)
    s_BT = jnp.exp(jnp.clip(log_ratio_BT, -LOG_RATIO_CLAMP, LOG_RATIO_CLAMP))
    a_BT = batch.advantage_BT
    free_BT = s_BT * a_BT
    clipped_BT = jnp.clip(s_BT, 1 - clip_low, 1 + clip_high) * a_BT
    objective_BT = jnp.minimum(free_BT, clipped_BT)
    if dual_clip is not None:
        floor_BT = jnp.where(a_BT < 0, dual_clip * a_BT, -jnp.inf)
        objective_BT = jnp.maximum(objective_BT, floor_BT)
    weight_BT = jnp.where(batch.action_BT, batch.weight_BT, 0)
    loss = -jnp.sum(weight_BT * batch.is_weight_BT * objective_BT)
    return loss, {"clip_fraction": jnp.sum(weight_BT * (clipped_BT < free_BT))}


def entropy_bonus(batch, coefficient: float) -> jax.Array:
    """-coefficient * entropy, nats, weighted: added to a loss it holds the policy's randomness up
    (arXiv 1602.01783, section 4)."""
    return -coefficient * jnp.sum(batch.weight_BT * batch.entropy_BT)


def truncated_importance(logp_BT: jax.Array, sampler_logp_BT: jax.Array, cap: float) -> jax.Array:
    """min(pi_trainer / pi_sampler, cap) of each token, in [0, cap].

    Corrects for a sampler whose numbers differ from the trainer's: the truncated rho of IMPALA
    (arXiv 1802.01561, eq. 1), a token at a time. Differs from WaltzRL's paper, which has none.
    """
    log_ratio_BT = jnp.clip(logp_BT - sampler_logp_BT, -LOG_RATIO_CLAMP, LOG_RATIO_CLAMP)
    return jnp.minimum(jnp.exp(log_ratio_BT), cap)


LOG_RATIO_CLAMP = 20.0  # before exp, as OpenRLHF does
K3_CLAMP = 10.0
LARGEST_ERROR = 0.2  # of the adaptive coefficient's proportional error


def full_support(logp_BT: jax.Array, full_logp_BT: jax.Array | None) -> jax.Array:
    """The log-probabilities that a KL compares: over the whole vocabulary, as the reference's are,
    whatever top-k, top-p or min-p leave out. Truncated ones would count the mass that was left out
    as a distance: of a policy that equals its reference too, and the more the longer a text.

    ``full_logp_BT`` None: nothing was truncated, ``logp_BT`` is over the whole vocabulary.
    """
    return logp_BT if full_logp_BT is None else full_logp_BT


def kl_estimate(logp_BT: jax.Array, ref_logp_BT: jax.Array, kind: str) -> jax.Array:
    """Per-token estimate of KL(policy || reference) in nats, from samples of the policy.

    With r = log ref - log policy (Schulman 2020, "Approximating KL divergence"):
    k1 = -r; k2 = r^2 / 2; k3 = e^r - r - 1 (verl's low_var_kl, with its clamps).
    """
    r = ref_logp_BT - logp_BT
    if kind == "k1":
        return -r
    if kind == "k2":
        return r * r / 2
    if kind == "k3":
        r = jnp.clip(r, -LOG_RATIO_CLAMP, LOG_RATIO_CLAMP)
        return jnp.clip(jnp.exp(r) - r - 1, -K3_CLAMP, K3_CLAMP)
    raise ValueError(f"kl estimator: got {kind!r}, allowed are 'k1', 'k2', 'k3'")


def adaptive_coefficient(
    beta: jax.Array, kl: jax.Array, *, target: float, gain: float
) -> jax.Array:
    """The next batch's KL coefficient (arXiv 1909.08593, section 2.2): where the KL is above its
    target the coefficient grows, below it shrinks.

    e = clip((kl - target) / target, ±0.2); beta (1 + gain e). The paper's gain is 0.1, and its KL
    a sequence's; here ``kl`` and ``target`` > 0 are nats a token, the mean of a batch.
    """
    error = jnp.clip((kl - target) / target, -LARGEST_ERROR, LARGEST_ERROR)
    return beta * (1 + gain * error)
