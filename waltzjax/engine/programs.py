"""The device's side of generation: jitted programs over one paged cache.

``decode`` draws tokens for a batch of rows, ``verify`` draws them where they were guessed,
``prefill`` caches pieces of texts, ``copy`` copies pages. Each exists for a few batch widths;
whatever else varies is an argument.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from waltzjax.core.sampling import Settings, draw
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.decode import Cache, cached_hidden_states, empty_cache
from waltzjax.model.paged_attention import PageView
from waltzjax.model.transformer import unembedding

RUNNING, STOPPED, FULL, NOT_FINITE = range(4)  # how a row stands after a call


class Rows(NamedTuple):
    """Rows to decode; a row with ``left_B`` 0 is padding."""

    table_BM: Any  # int32, see PageView
    fresh_B: Any  # int32, a page that holds nothing of the row's yet; out of range: there is none
    token_B: Any  # int32, the newest token, not cached yet
    position_B: Any  # int32, where it stands
    drawn_B: Any  # int32, tokens drawn before
    left_B: Any  # int32, tokens that may still be drawn
    seed_B: Any  # uint32
    stop_BK: Any  # int32, tokens that end the row, padded with -1
    settings: Settings


class Outcome(NamedTuple):
    """The result of ``decode`` or ``verify``; columns from ``count_B`` on are arbitrary."""

    token_BN: Any  # int32
    logp_BN: Any  # float32
    cutoff_gap_BN: Any  # float32
    count_B: Any  # int32
    state_B: Any  # int32, RUNNING ...
    steps: Any  # int32, tokens that each row of the batch was computed for


class Programs:
    """Jitted for one architecture, mesh and cache.

    Args:
      pages: of each group.
      page_size: positions of a page.
      most_steps: tokens a row that one call of ``decode`` may draw.
    """

    def __init__(
        self, cfg: ModelConfig, mesh: Mesh, *, pages: int, page_size: int, most_steps: int
    ):
        self.cfg, self.mesh, self.pages, self.page_size = cfg, mesh, pages, page_size
        heads = "tensor" if cfg.kv_heads % mesh.shape["tensor"] == 0 else None
        paged = NamedSharding(mesh, P(sharding.ROWS, heads))
        readable = sharding.replicated(mesh)  # in every process
        rows, whole = P(sharding.ROWS), P()
        # Manual over groups: a group's rows read its own pages.
        local = partial(jax.shard_map, mesh=mesh, axis_names={*sharding.ROWS}, check_vma=False)
        self.decode = jax.jit(
            local(
                partial(_decode, cfg, most_steps),
                in_specs=(whole, rows, rows, whole, whole),
                out_specs=(rows, Outcome(rows, rows, rows, rows, rows, whole)),
            ),
            donate_argnums=1,
            out_shardings=(paged, readable),
        )
        self.verify = jax.jit(
            local(
                partial(_verify, cfg),
                in_specs=(whole, rows, rows, rows, rows),
                out_specs=(rows, Outcome(rows, rows, rows, rows, rows, whole)),
            ),
            donate_argnums=1,
            out_shardings=(paged, readable),
        )
        self.prefill = jax.jit(
            local(
                partial(_prefill, cfg),
                in_specs=(whole, rows, rows, rows, rows, rows),
                out_specs=rows,
            ),
            donate_argnums=1,
            out_shardings=paged,
        )
        self.copy = jax.jit(
            local(_copy, in_specs=(rows, rows, rows), out_specs=rows),
            donate_argnums=0,
            out_shardings=paged,
        )
        count = pages * sharding.row_groups(mesh)
        self.new_cache = jax.jit(partial(empty_cache, cfg, count, page_size), out_shardings=paged)


def _decode(cfg, most_steps, params, cache: Cache, rows: Rows, most, leave_at):
    """Draw up to ``most`` tokens a row; return early once no more than ``leave_at`` rows of all
    groups go on."""
    cache = _freshened(cache, rows)
    unembed_VD = unembedding(params)
    B = rows.token_B.shape[0]

    def unfinished(state):
        step, _, _, _, state_B, *_ = state
        running = jax.lax.psum(jnp.sum(state_B == RUNNING), sharding.ROWS)
        return (step < most) & (running > leave_at)

    def one_token(state):
        step, cache, token_B, position_B, state_B, count_B, outs = state
        live_B = state_B == RUNNING
        view = PageView(rows.table_BM, position_B[:, None], live_B)
        hidden_BTD, cache = cached_hidden_states(cfg, params, token_B[:, None], cache, view)
        logits_BV = jnp.einsum(
            "BD,VD->BV",
            hidden_BTD[:, 0],
            unembed_VD.astype(hidden_BTD.dtype),
            preferred_element_type=jnp.float32,
        )
        drawn = draw(logits_BV, rows.settings, rows.seed_B, rows.drawn_B + count_B)
        fine_B = live_B & drawn.finite_B
        count_B += fine_B
        state_B = jnp.where(live_B & (count_B >= rows.left_B), FULL, state_B)
        stops_B = (drawn.token_B[:, None] == rows.stop_BK).any(axis=1)
        state_B = jnp.where(live_B & stops_B, STOPPED, state_B)
        state_B = jnp.where(live_B & ~drawn.finite_B, NOT_FINITE, state_B)
        outs = tuple(
            jax.lax.dynamic_update_slice_in_dim(out_BN, new_B[:, None], step, axis=1)
            for out_BN, new_B in zip(outs, drawn[:3], strict=True)
        )
        return step + 1, cache, drawn.token_B, position_B + 1, state_B, count_B, outs

    outs = tuple(jnp.zeros((B, most_steps), t) for t in (jnp.int32, jnp.float32, jnp.float32))
    state_B = jnp.where(rows.left_B > 0, RUNNING, FULL)
    zero_B = jnp.zeros_like(rows.left_B)
    start = (0, cache, rows.token_B, rows.position_B, state_B, zero_B, outs)
    steps, cache, _, _, state_B, count_B, outs = jax.lax.while_loop(unfinished, one_token, start)
    return cache, Outcome(outs[0], outs[1], outs[2], count_B, state_B, steps)


def _verify(cfg, params, cache: Cache, rows: Rows, guess_BT, guessed_B):
    """Draw the token after each row's newest one and after each of its ``guessed_B`` guesses, and
    keep those before which all guesses were right: what ``decode`` draws one by one, since a token
    is a function of logits, settings, seed and its number. Guesses behind a row's last one repeat
    it, so that what they write is written anyway."""
    cache = _freshened(cache, rows)
    token_BT = jnp.concatenate([rows.token_B[:, None], guess_BT], axis=1)
    B, T = token_BT.shape
    nth_T = jnp.arange(T)
    position_BT = rows.position_B[:, None] + jnp.minimum(nth_T, guessed_B[:, None])
    view = PageView(rows.table_BM, position_BT, rows.left_B > 0)
    hidden_BTD, cache = cached_hidden_states(cfg, params, token_BT, cache, view)
    logits_BTV = jnp.einsum(
        "BTD,VD->BTV",
        hidden_BTD,
        unembedding(params).astype(hidden_BTD.dtype),
        preferred_element_type=jnp.float32,
    )
    settings, seed_N = jax.tree.map(lambda x: jnp.repeat(x, T), (rows.settings, rows.seed_B))
    index_N = (rows.drawn_B[:, None] + nth_T).reshape(-1)
    drawn = draw(logits_BTV.reshape(B * T, -1), settings, seed_N, index_N)
    token_BT, logp_BT, gap_BT, finite_BT = (x.reshape(B, T) for x in drawn)

    def leading(right_BT):
        return jnp.cumprod(right_BT, axis=1).sum(axis=1)

    guessed_BT = nth_T[None, :-1] < guessed_B[:, None]
    right_B = 1 + leading((token_BT[:, :-1] == guess_BT) & guessed_BT)
    stop_B = 1 + leading(~(token_BT[:, :, None] == rows.stop_BK[:, None]).any(axis=2))
    wanted_B = jnp.minimum(jnp.minimum(right_B, stop_B), rows.left_B)
    count_B = jnp.minimum(wanted_B, leading(finite_BT))
    state_B = jnp.where(count_B >= rows.left_B, FULL, RUNNING)
    state_B = jnp.where(count_B == stop_B, STOPPED, state_B)
    state_B = jnp.where(count_B < wanted_B, NOT_FINITE, state_B)
    return cache, Outcome(token_BT, logp_BT, gap_BT, count_B, state_B, jnp.int32(T))


def _freshened(cache: Cache, rows: Rows) -> Cache:
    """The cache without what others have left in the rows' fresh pages: values, perhaps nan, that
    would be multiplied with zero."""
    values = tuple(v.at[rows.fresh_B].set(0, mode="drop") for v in cache.v)
    return cache._replace(v=values)


def _prefill(cfg, params, cache, token_BP, start_B, live_B, table_BM):
    """Cache the keys and values of pieces of texts, each of which begins and ends with a page. All
    pieces pass through a layer together, so that one may continue another."""
    position_BP = start_B[:, None] + jnp.arange(token_BP.shape[1])
    view = PageView(table_BM, position_BP, live_B)
    return cached_hidden_states(cfg, params, token_BP, cache, view)[1]


def _copy(cache, source_B, target_B):
    """Copy pages; a target out of range is left out."""
    return jax.tree.map(lambda x: x.at[target_B].set(x[source_B], mode="drop"), cache)
