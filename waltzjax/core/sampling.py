"""The distribution that tokens are drawn from, and the draw; every setting is a row's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.numpy import inf


class Settings(NamedTuple):
    """How each row is sampled; arrays [B]. Values change without recompiling."""

    temperature: Any  # >= 0; 0 takes the most probable token
    top_k: Any  # int, 0 keeps all
    top_p: Any  # in (0, 1], 1 keeps all
    min_p: Any  # in [0, 1], 0 keeps all


class Drawn(NamedTuple):
    """One token a row."""

    token_B: jax.Array  # int32
    logp_B: jax.Array  # float32, nats, under the distribution it was drawn from
    # How far below the drawn token's logit (over temperature) the truncated distribution ends:
    # halfway between the last token kept and the first left out, so that a trainer whose logits are
    # rounded otherwise finds the same set. inf: nothing was left out.
    cutoff_gap_B: jax.Array
    finite_B: jax.Array  # bool: all of the row's logits are numbers


def draw(logits_BV: jax.Array, settings: Settings, seed_B: jax.Array, index_B: jax.Array) -> Drawn:
    """Draw token number ``index_B`` of the request whose seed is ``seed_B`` (uint32), by Gumbel's
    trick: a function of logits, settings, seed and index alone.

    Greedy rows (temperature 0) report their token's log-probability at temperature 1.
    """
    greedy_B = settings.temperature == 0
    scaled_BV = logits_BV.astype(jnp.float32)
    scaled_BV /= jnp.where(greedy_B, 1.0, settings.temperature)[:, None]
    truncates_B = ~greedy_B & ((settings.top_k > 0) | (settings.top_p < 1) | (settings.min_p > 0))

    def truncate_rows(x_BV):
        cut_BV, edge_B = truncated(x_BV, settings)
        return jnp.where(truncates_B[:, None], cut_BV, x_BV), jnp.where(truncates_B, edge_B, -inf)

    def whole(x_BV):
        return x_BV, jnp.full(x_BV.shape[0], -inf)

    # Work that only some settings need is done only while a row has such settings.
    kept_BV, edge_B = jax.lax.cond(truncates_B.any(), truncate_rows, whole, scaled_BV)

    def noisy(x_BV):
        key_B = jax.vmap(jax.random.key)(seed_B)
        key_B = jax.vmap(jax.random.fold_in)(key_B, index_B)
        noise_BV = jax.vmap(lambda key: jax.random.gumbel(key, x_BV.shape[1:]))(key_B)
        return jnp.where(greedy_B[:, None], x_BV, x_BV + noise_BV)

    noisy_BV = jax.lax.cond(greedy_B.all(), lambda x_BV: x_BV, noisy, kept_BV)
    token_B = jnp.argmax(noisy_BV, axis=-1).astype(jnp.int32)
    chosen_B = jnp.take_along_axis(scaled_BV, token_B[:, None], axis=1)[:, 0]
    logp_B = chosen_B - jax.nn.logsumexp(kept_BV, axis=-1)
    finite_B = jnp.isfinite(logits_BV).all(axis=-1) & jnp.isfinite(logp_B)
    return Drawn(token_B, logp_B, chosen_B - edge_B, finite_B)


def truncated(scaled_BV: jax.Array, settings: Settings) -> tuple[jax.Array, jax.Array]:
    """The logits that top-k, then top-p and min-p leave of ``scaled_BV``, float32 logits over
    temperature, left-out tokens at -inf; and edge_B, halfway between the last logit kept and the
    first left out, -inf where none is. Tokens as probable as the last one kept are kept.

    top_k: that many of the most probable (arXiv 1805.04833); top_p: of those the smallest set of
    most probable tokens of at least that mass (arXiv 1904.09751); min_p: those with at least this
    part of the most probable one's probability (arXiv 2407.01082).
    """
    kept_BV = scaled_BV >= _threshold(scaled_BV, settings.top_k, settings.top_p, settings.min_p)
    last_B = jnp.min(jnp.where(kept_BV, scaled_BV, inf), axis=-1)
    next_B = jnp.max(jnp.where(kept_BV, -inf, scaled_BV), axis=-1)
    edge_B = jnp.where(next_B == -inf, -inf, (last_B + next_B) / 2)
    return jnp.where(kept_BV, scaled_BV, -inf), edge_B


def _threshold(scaled: jax.Array, top_k, top_p, min_p) -> jax.Array:
    """A logit that separates what is kept, no less than it, from the rest, [B, 1].

    Found by bisection over the bits of float32: 32 sums over the vocabulary, where sorting takes
    several times as long.
    """
    rank = _rank(scaled)
    count = scaled.shape[-1]
    k = jnp.where(top_k > 0, jnp.minimum(top_k, count), count)[..., None]
    largest = jnp.max(scaled, axis=-1, keepdims=True)
    lowest = jnp.min(scaled, axis=-1, keepdims=True)

    def by_count(_):
        return _largest(lambda t: jnp.sum(rank >= t, axis=-1, keepdims=True) >= k, k.shape)

    first = jax.lax.cond((k < count).any(), by_count, lambda _: _rank(lowest), None)
    weight = jnp.where(rank >= first, jnp.exp(scaled - largest), 0)
    wanted = top_p[..., None] * jnp.sum(weight, axis=-1, keepdims=True)

    def by_mass(_):
        return _largest(
            lambda t: jnp.sum(weight, axis=-1, keepdims=True, where=rank >= t) >= wanted, k.shape
        )

    narrow = top_p[..., None] < 1
    second = jax.lax.cond(narrow.any(), by_mass, lambda _: first, None)
    edge = jnp.maximum(first, jnp.where(narrow, second, first))
    floor = jnp.where(min_p > 0, jnp.log(min_p), -inf)[..., None]
    return jnp.maximum(_value(edge), largest + floor)


def _largest(holds: Callable[[jax.Array], jax.Array], shape: tuple[int, ...]) -> jax.Array:
    """The largest uint32 for which ``holds``, which no larger number does once one does not."""

    def bit(i, t):
        candidate = t | (jnp.uint32(1 << 31) >> i.astype(jnp.uint32))
        return jnp.where(holds(candidate), candidate, t)

    return jax.lax.fori_loop(0, 32, bit, jnp.zeros(shape, jnp.uint32))


def _rank(x: jax.Array) -> jax.Array:
    """uint32 in the order of the float32 ``x``; both zeros are one."""
    bits = jax.lax.bitcast_convert_type(x + 0.0, jnp.uint32)
    return jnp.where(bits >> 31 == 1, ~bits, bits | jnp.uint32(1 << 31))


def _value(rank: jax.Array) -> jax.Array:
    bits = jnp.where(rank >> 31 == 1, rank & jnp.uint32(0x7FFFFFFF), ~rank)
    return jax.lax.bitcast_convert_type(bits, jnp.float32)
