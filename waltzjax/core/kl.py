"""The KL divergence to a reference policy: its estimates from samples, and its coefficient."""

from __future__ import annotations

import jax
import jax.numpy as jnp

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
