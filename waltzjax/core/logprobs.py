"""Token log-probabilities, entropies and KL estimates, without a [B, T, V] array.

The trainer's are of the whole distribution at a temperature; ``truncated_logits`` is the sampler's,
for requests that truncate it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

LOG_RATIO_CLAMP = 20.0  # before exp, as OpenRLHF does
K3_CLAMP = 10.0


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


def token_logprobs(
    hidden_BTD: jax.Array,
    unembed_DV: jax.Array,
    target_BT: jax.Array,
    *,
    temperature: float,
    chunk: int,
    vocab_axis: str | None = None,
) -> tuple[jax.Array, jax.Array]:
    """log softmax(h W / temperature)[target] and the entropy of that distribution, in nats.

    Computed at most ``chunk`` tokens at a time and recomputed in the backward pass: the logits held
    at once are [chunk, V], in float32 whatever the model computes in.

    Args:
      vocab_axis: within ``jax.shard_map``, the mesh axis over which the columns of ``unembed_DV``
        are split in order; None where this device has all of them.

    Returns:
      (logp_BT, entropy_BT), float32.
    """

    def total(x):
        return jax.lax.psum(x, vocab_axis) if vocab_axis else x

    B, T, D = hidden_BTD.shape
    t = min(max(chunk // B, 1), T)
    pad = -T % t
    hidden_BTD = jnp.pad(hidden_BTD, ((0, 0), (0, pad), (0, 0)))
    target_BT = jnp.pad(target_BT, ((0, 0), (0, pad)))

    @jax.checkpoint
    def one_chunk(_, inputs):
        hidden_BtD, target_Bt = inputs
        # Flat: XLA on CPU contracts one axis several times faster than two (backward).
        logits_nV = jnp.einsum(
            "nD,DV->nV", hidden_BtD.reshape(-1, D), unembed_DV.astype(hidden_BtD.dtype),
            preferred_element_type=jnp.float32,
        ) / temperature  # fmt: skip
        peak_n1 = jax.lax.stop_gradient(jnp.max(logits_nV, axis=-1, keepdims=True))
        first: jax.Array | int = 0  # this device's first token
        if vocab_axis:
            peak_n1 = jax.lax.pmax(peak_n1, vocab_axis)
            first = jax.lax.axis_index(vocab_axis) * logits_nV.shape[-1]
        mass_n1 = total(jnp.sum(jnp.exp(logits_nV - peak_n1), axis=-1, keepdims=True))
        logp_nV = logits_nV - peak_n1 - jnp.log(mass_n1)
        index_n1 = target_Bt.reshape(-1, 1) - first
        chosen_n1 = jnp.take_along_axis(logp_nV, index_n1, axis=-1, mode="fill", fill_value=0)
        chosen_n1 = jnp.where(index_n1 >= 0, chosen_n1, 0)  # negative ones count from the end
        entropy_n = total(-jnp.sum(jnp.exp(logp_nV) * logp_nV, axis=-1))
        return None, (total(chosen_n1).reshape(B, t), entropy_n.reshape(B, t))

    chunks = (
        hidden_BTD.reshape(B, -1, t, D).swapaxes(0, 1),
        target_BT.reshape(B, -1, t).swapaxes(0, 1),
    )
    _, out = jax.lax.scan(one_chunk, None, chunks)
    return tuple(x_sBt.swapaxes(0, 1).reshape(B, T + pad)[:, :T] for x_sBt in out)


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
