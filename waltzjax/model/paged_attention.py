"""Attention over a paged key/value cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

NEVER = -1e30  # score of what is not seen: finite, or an empty visit would be inf - inf
VISITS = 16  # whose sums are held before each row's are put together


class PageView(NamedTuple):
    """Where rows of new tokens stand in a paged cache.

    Page number ``table_BM[b, p // P]`` holds position p of row b. Rows that are not ``live_B``
    write nothing; what they read is arbitrary.
    """

    table_BM: jax.Array
    position_BT: jax.Array  # of one page
    live_B: jax.Array


def write_pages(
    k_NJCP: jax.Array, v_NJPC: jax.Array, k_BTJC: jax.Array, v_BTJC: jax.Array, view: PageView
) -> tuple[jax.Array, jax.Array]:
    """The pages with new keys and values at the positions of ``view``."""
    count, _, _, size = k_NJCP.shape
    page_BT = jnp.take_along_axis(view.table_BM, view.position_BT // size, axis=1)
    page_BT = jnp.where(view.live_B[:, None], page_BT, count)  # out of range: dropped
    place_BT = view.position_BT % size
    k_NJCP = k_NJCP.at[page_BT, :, :, place_BT].set(k_BTJC, mode="drop")
    return k_NJCP, v_NJPC.at[page_BT, :, place_BT].set(v_BTJC, mode="drop")


class _Sums(NamedTuple):
    """Softmax sums over some positions: the largest score, the weights' sum relative to it, and
    the weighted sum of values."""

    peak_BJGT: jax.Array
    mass_BJGT: jax.Array
    out_BJGTC: jax.Array

    def plus(self, other: _Sums) -> _Sums:
        peak_BJGT = jnp.maximum(self.peak_BJGT, other.peak_BJGT)
        a, b = jnp.exp(self.peak_BJGT - peak_BJGT), jnp.exp(other.peak_BJGT - peak_BJGT)
        return _Sums(
            peak_BJGT,
            self.mass_BJGT * a + other.mass_BJGT * b,
            self.out_BJGTC * a[..., None] + other.out_BJGTC * b[..., None],
        )

    def total(self, holds_BK: jax.Array) -> _Sums:
        """These sums, [B, K, ...], put together over K; those that do not hold are left out."""
        shaped = holds_BK[..., None, None, None]
        peak_BKJGT = jnp.where(shaped, self[0], NEVER)
        peak_BJGT = peak_BKJGT.max(1)
        weight_BKJGT = jnp.where(shaped, jnp.exp(peak_BKJGT - peak_BJGT[:, None]), 0)
        out_BKJGTC = jnp.where(shaped[..., None], self[2], 0) * weight_BKJGT[..., None]
        mass_BKJGT = jnp.where(shaped, self[1], 0) * weight_BKJGT
        return _Sums(peak_BJGT, mass_BKJGT.sum(1), out_BKJGTC.sum(1))


def _sums(q_BJGTC, k_BJCP, v_BJPC, seen_BTP) -> _Sums:
    product = partial(jnp.einsum, preferred_element_type=jnp.float32)
    score_BJGTP = product("BJGTC,BJCP->BJGTP", q_BJGTC, k_BJCP) * q_BJGTC.shape[-1] ** -0.5
    score_BJGTP = jnp.where(seen_BTP[:, None, None], score_BJGTP, NEVER)
    peak_BJGT = score_BJGTP.max(-1)
    weight_BJGTP = jnp.exp(score_BJGTP - peak_BJGT[..., None])
    out_BJGTC = product("BJGTP,BJPC->BJGTC", weight_BJGTP.astype(v_BJPC.dtype), v_BJPC)
    return _Sums(peak_BJGT, weight_BJGTP.sum(-1), out_BJGTC)


def attend_pages(
    q_BTHC: jax.Array,
    k_NJCP: jax.Array,
    v_NJPC: jax.Array,
    view: PageView,
    *,
    window: int,
    visit: int,
) -> jax.Array:
    """Attention of new tokens over the cached positions up to their own, softmax in float32, page
    by page as in flash attention (arXiv 2205.14135, algorithm 1). What stands in a row's last page
    behind its newest token is multiplied with zero: it must be finite.

    Several tokens a row: the first pages of all rows are read together, then the second ones. One
    token a row: the pages in use are read ``visit`` at a time, one row's after another's, so that
    what is read follows the tokens in use and not the longest row.
    """
    B, T, H, C = q_BTHC.shape
    J, _, P = k_NJCP.shape[1:]
    q_BJGTC = q_BTHC.reshape(B, T, J, H // J, C).transpose(0, 2, 3, 1, 4)
    first_B = jnp.zeros(B, jnp.int32)
    if window:
        first_B = jnp.maximum(view.position_BT[:, 0] - window + 1, 0) // P
    count_B = jnp.where(view.live_B, view.position_BT[:, -1] // P + 1 - first_B, 0)

    def read(row_W, nth_W) -> _Sums:
        """Number ``nth_W`` of the pages that rows ``row_W`` have in use."""
        nth_W += first_B[row_W]
        page_W = view.table_BM[row_W, nth_W]
        s_WP = nth_W[:, None] * P + jnp.arange(P)
        ago_WTP = view.position_BT[row_W][:, :, None] - s_WP[:, None]
        seen_WTP = (ago_WTP >= 0) & (ago_WTP < window) if window else ago_WTP >= 0
        return _sums(q_BJGTC[row_W], k_NJCP[page_W], v_NJPC[page_W], seen_WTP)

    def empty(rows):
        zero = jnp.zeros((rows, *q_BJGTC.shape[1:4]))
        return _Sums(zero + NEVER, zero, jnp.zeros((rows, *q_BJGTC.shape[1:])))

    if T > 1:

        def step(n, carry):
            sums = read(jnp.arange(B), jnp.full(B, n))
            return carry.plus(_Sums(*(x[:, None] for x in sums)).total((n < count_B)[:, None]))

        sums = jax.lax.fori_loop(0, count_B.max(), step, empty(B))
    else:
        most = B * view.table_BM.shape[1]
        sums = _ragged(read, count_B, empty, min(visit, most), most)
    out_BJGTC = sums.out_BJGTC / jnp.where(sums.mass_BJGT == 0, 1, sums.mass_BJGT)[..., None]
    return out_BJGTC.transpose(0, 3, 1, 2, 4).reshape(q_BTHC.shape).astype(q_BTHC.dtype)


def _ragged(read: Callable, count_B: jax.Array, empty: Callable, visit: int, most: int) -> _Sums:
    """The sums of all pages in use, at most ``most``. Up to ``VISITS`` visits fill a buffer with a
    page's sums each, then every row's among them are put together, some at a time."""
    B = count_B.shape[0]
    end_B = jnp.cumsum(count_B)
    visits = min(VISITS, -(-most // visit))
    start_B, size = end_B - count_B, visits * visit
    together = max(1, visit // B)

    def fill(base, i, buffer):
        item_W = base + i * visit + jnp.arange(visit)
        row_W = jnp.minimum((item_W[:, None] >= end_B).sum(1), B - 1)
        sums = read(row_W, item_W - start_B[row_W])
        update = partial(jax.lax.dynamic_update_slice_in_dim, start_index=i * visit, axis=0)
        return _Sums(*map(update, buffer, sums))

    def one_buffer(number, carry):
        base = number * size
        left = jnp.minimum(visits, -(-(end_B[-1] - base) // visit))
        buffer = jax.lax.fori_loop(0, left, partial(fill, base), empty(size))
        from_B, to_B = (jnp.clip(x - base, 0, size) for x in (start_B, end_B))

        def join(n, carry):
            item_BK = from_B[:, None] + n * together + jnp.arange(together)
            sums = _Sums(*(x[item_BK] for x in buffer))
            return carry.plus(sums.total(item_BK < to_B[:, None]))

        joins = -(-(to_B - from_B).max() // together)
        return jax.lax.fori_loop(0, joins, join, carry)

    if most <= size:
        return one_buffer(0, empty(B))
    return jax.lax.fori_loop(0, -(-end_B[-1] // size), one_buffer, empty(B))
