"""Token log-probabilities and entropies, without a [B, T, V] array."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp


class TokenLogProbs(NamedTuple):
    """Log-probability of each target and entropy of its distribution, float32, nats.

    logp_BT: under the distribution that they were drawn from, truncated where that was.
    entropy_BT: the entropy of that distribution.
    full_logp_BT: under the whole vocabulary's; None where nothing is truncated: ``logp_BT`` is it.
    """

    logp_BT: jax.Array
    entropy_BT: jax.Array
    full_logp_BT: jax.Array | None


def token_logprobs(
    hidden_BTD: jax.Array,
    unembed_VD: jax.Array,
    target_BT: jax.Array,
    *,
    temperature: float,
    block: int,
    cutoff_gap_BT: jax.Array | None = None,
    vocab_axis: str | None = None,
) -> TokenLogProbs:
    """log softmax(W h / temperature)[target] and the entropy of that distribution, in nats.

    Computed by blocks of ``block`` tokens of the vocabulary, each for all of [B, T] at once, and
    recomputed in the backward pass: no more logits are held, in float32 whatever the model computes
    in. The gradients' matrix products are in the type of ``hidden_BTD``, their sums in
    float32.

    Args:
      temperature: a constant of the program.
      cutoff_gap_BT: float32 >= 0; the distribution ends so far below the target's logit (over
        temperature), as it did where the target was drawn from a truncated one (see
        ``core.sampling.Drawn``). The tokens left out have no probability and no gradient, but in
        the full log-probability, which comes from the same logits. None: nothing is left out.
      vocab_axis: within ``jax.shard_map``, the mesh axis over which the rows of ``unembed_VD`` are
        split in order; None where this device has all of them.
    """
    B, T, D = hidden_BTD.shape
    size = min(block, unembed_VD.shape[0])
    cutoff_gap_N = None if cutoff_gap_BT is None else cutoff_gap_BT.reshape(-1)
    logp_N, entropy_N, full_logp_N = _log_probs(
        size,
        temperature,
        vocab_axis,
        hidden_BTD.reshape(-1, D),
        unembed_VD,
        target_BT.reshape(-1),
        cutoff_gap_N,
    )
    found_N = TokenLogProbs(logp_N, entropy_N, full_logp_N)
    return jax.tree.map(lambda x_N: x_N.reshape(B, T), found_N)


class _Sums(NamedTuple):
    """Softmax sums of each token over a part of the vocabulary: over the logits l that are not left
    out."""

    peak_N: jax.Array  # max l; over everything none is left out above the target's
    mass_N: jax.Array  # sum exp(l - peak)
    moment_N: jax.Array  # sum exp(l - peak) (l - peak)
    chosen_N: jax.Array  # l of the target, 0 where it is elsewhere
    full_mass_N: jax.Array | None  # mass of all, none left out; None: no truncation

    def at(self, peak_N: jax.Array) -> _Sums:
        """These sums relative to another peak, which is no lower than this one."""
        lower_N = self.peak_N - peak_N
        scale_N = jnp.exp(lower_N)
        moment_N = scale_N * (self.moment_N + lower_N * self.mass_N)
        full_mass_N = None if self.full_mass_N is None else scale_N * self.full_mass_N
        return _Sums(peak_N, scale_N * self.mass_N, moment_N, self.chosen_N, full_mass_N)

    def plus(self, other: _Sums) -> _Sums:
        peak_N = jnp.maximum(self.peak_N, other.peak_N)
        a, b = self.at(peak_N), other.at(peak_N)
        return _Sums(peak_N, *jax.tree.map(jnp.add, a[1:], b[1:]))


def _block_logits(hidden_ND, block_vD, temperature):
    logits_Nv = jnp.einsum(
        "ND,vD->Nv", hidden_ND, block_vD.astype(hidden_ND.dtype), preferred_element_type=jnp.float32
    )
    return logits_Nv / temperature


def _over_blocks(size: int, unembed_VD: jax.Array, visit):
    """The result of ``visit(carry, first token, block_vD)`` after all blocks. The last of them, the
    uneven one, is visited first, with None for its carry."""
    count = (unembed_VD.shape[0] - 1) // size  # whole blocks before the last
    carry = visit(None, count * size, unembed_VD[count * size :])

    def step(carry, index):
        block_vD = jax.lax.dynamic_slice_in_dim(unembed_VD, index * size, size)
        return visit(carry, index * size, block_vD), None

    return jax.lax.scan(step, carry, jnp.arange(count))[0] if count else carry


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _log_probs(size, temperature, vocab_axis, hidden_ND, unembed_VD, target_N, cutoff_gap_N):
    return _forward(size, temperature, vocab_axis, hidden_ND, unembed_VD, target_N, cutoff_gap_N)[0]


def _forward(size, temperature, vocab_axis, hidden_ND, unembed_VD, target_N, cutoff_gap_N):
    target_N = target_N - _first_token(unembed_VD, vocab_axis)
    edge_N = None
    if cutoff_gap_N is not None:
        chosen_N = _target_logits(hidden_ND, unembed_VD, target_N, temperature, vocab_axis)
        edge_N = chosen_N - cutoff_gap_N

    def visit(sums, first, block_vD):
        logits_Nv = _block_logits(hidden_ND, block_vD, temperature)
        peak_N = jnp.max(logits_Nv, axis=-1)
        lower_Nv = logits_Nv - peak_N[:, None]
        target_Nv = _is_target(target_N, first, block_vD)
        full_Nv = jnp.exp(lower_Nv)
        weight_Nv = _kept(edge_N, logits_Nv, target_Nv, full_Nv)
        chosen_N = jnp.sum(logits_Nv, axis=-1, where=target_Nv)
        moment_N = jnp.sum(weight_Nv * lower_Nv, axis=-1)
        full_mass_N = None if edge_N is None else jnp.sum(full_Nv, axis=-1)
        more = _Sums(peak_N, jnp.sum(weight_Nv, axis=-1), moment_N, chosen_N, full_mass_N)
        return more if sums is None else sums.plus(more)

    sums = _over_blocks(size, unembed_VD, visit)
    if vocab_axis:
        sums = sums.at(jax.lax.pmax(sums.peak_N, vocab_axis))
        of_all = partial(jax.lax.psum, axis_name=vocab_axis)
        sums = _Sums(sums.peak_N, *jax.tree.map(of_all, sums[1:]))
    log_mass_N = jnp.log(sums.mass_N)
    logp_N = sums.chosen_N - sums.peak_N - log_mass_N
    entropy_N = log_mass_N - sums.moment_N / sums.mass_N
    full_logp_N = share_N = None
    if sums.full_mass_N is not None:
        full_logp_N = sums.chosen_N - sums.peak_N - jnp.log(sums.full_mass_N)
        share_N = sums.mass_N / sums.full_mass_N
    saved = (hidden_ND, unembed_VD, target_N, edge_N, sums.peak_N, log_mass_N, entropy_N, share_N)
    return (logp_N, entropy_N, full_logp_N), saved


def _backward(size, temperature, vocab_axis, saved, gradients):
    """With g, k, f the gradients of log-probability, entropy H and full log-probability:
    dL/dl_v = g (1[v = target] - p_v) - k p_v (log p_v + H) + f (1[v = target] - s e^(l_v) / Z),
    p being e^l / Z where l was kept, else 0, and s the kept tokens' share of the whole mass."""
    hidden_ND, unembed_VD, target_N, edge_N, peak_N, log_mass_N, entropy_N, share_N = saved
    of_logp_N1, of_entropy_N1 = (g[:, None] for g in gradients[:2])
    of_full_N1 = None if share_N is None else gradients[2][:, None]

    def visit(carry, first, block_vD):
        of_hidden_ND, of_unembed_VD = carry or (0.0, jnp.zeros_like(unembed_VD))
        logits_Nv = _block_logits(hidden_ND, block_vD, temperature)
        target_Nv = _is_target(target_N, first, block_vD)
        logp_Nv = logits_Nv - peak_N[:, None] - log_mass_N[:, None]
        p_Nv = jnp.exp(logp_Nv)  # finite: a token that was left out is below the target
        change_Nv = -_kept(edge_N, logits_Nv, target_Nv, p_Nv) * (
            of_logp_N1 + of_entropy_N1 * (logp_Nv + entropy_N[:, None])
        )
        change_Nv += jnp.where(target_Nv, of_logp_N1, 0)
        if of_full_N1 is not None:
            change_Nv += of_full_N1 * (target_Nv - share_N[:, None] * p_Nv)
        change_Nv = (change_Nv / temperature).astype(hidden_ND.dtype)
        product = partial(jnp.einsum, preferred_element_type=jnp.float32)
        of_hidden_ND += product("Nv,vD->ND", change_Nv, block_vD.astype(hidden_ND.dtype))
        of_block_vD = product("Nv,ND->vD", change_Nv, hidden_ND).astype(unembed_VD.dtype)
        # In place: blocks that are yielded and joined are the whole gradient twice.
        update = jax.lax.dynamic_update_slice_in_dim
        return of_hidden_ND, update(of_unembed_VD, of_block_vD, first, axis=0)

    of_hidden_ND, of_unembed_VD = _over_blocks(size, unembed_VD, visit)
    if vocab_axis:
        of_hidden_ND = jax.lax.psum(of_hidden_ND, vocab_axis)
    return of_hidden_ND.astype(hidden_ND.dtype), of_unembed_VD, None, None


_log_probs.defvjp(_forward, _backward)


def _first_token(unembed_VD, vocab_axis):
    return jax.lax.axis_index(vocab_axis) * unembed_VD.shape[0] if vocab_axis else 0


def _target_logits(hidden_ND, unembed_VD, target_N, temperature, vocab_axis):
    """The targets' logits alone; ``target_N`` counts from this device's first token."""
    here_N = (target_N >= 0) & (target_N < unembed_VD.shape[0])
    row_ND = unembed_VD[jnp.where(here_N, target_N, 0)].astype(hidden_ND.dtype)
    logit_N = jnp.einsum("ND,ND->N", hidden_ND, row_ND, preferred_element_type=jnp.float32)
    logit_N = jnp.where(here_N, logit_N, 0) / temperature
    return jax.lax.psum(logit_N, vocab_axis) if vocab_axis else logit_N


def _kept(edge_N, logits_Nv, target_Nv, weight_Nv):
    """The weights, zero where truncation left the token out."""
    if edge_N is None:
        return weight_Nv
    return jnp.where((logits_Nv >= edge_N[:, None]) | target_Nv, weight_Nv, 0)


def _is_target(target_N, first, block_vD):
    return target_N[:, None] == first + jnp.arange(block_vD.shape[0])
