"""The distribution that tokens are drawn from, where a request truncates it."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def truncated_logits(logits: jax.Array, temperature, top_k, top_p) -> jax.Array:
    """Logits of the sampling distribution: temperature, then top-k, then nucleus.

    Args:
      logits: [..., V].
      temperature: scalar or [...], > 0.
      top_k: scalar or [...] int, 0 keeps all; ties with the k-th are kept.
      top_p: scalar or [...], in (0, 1]; the smallest set of most probable tokens whose mass
        reaches ``top_p`` is kept (arXiv 1904.09751), 1 keeps all.

    Returns:
      [..., V] float32, excluded tokens at -inf; all arguments may vary without recompiling.
    """
    shape = logits.shape[:-1]
    temperature, top_k, top_p = (
        jnp.broadcast_to(jnp.asarray(a), shape)[..., None] for a in (temperature, top_k, top_p)
    )
    scaled = logits.astype(jnp.float32) / temperature
    descending = -jnp.sort(-scaled, axis=-1)
    count = scaled.shape[-1]
    k = jnp.where(top_k > 0, jnp.minimum(top_k, count), count)
    kept = jnp.where(jnp.arange(count) < k, descending, -jnp.inf)
    probability = jax.nn.softmax(kept, axis=-1)
    mass_before = jnp.cumsum(probability, axis=-1) - probability
    kept = jnp.where((mass_before < top_p) | (top_p >= 1), kept, -jnp.inf)
    threshold = jnp.min(jnp.where(kept > -jnp.inf, kept, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(scaled >= threshold, scaled, -jnp.inf)
