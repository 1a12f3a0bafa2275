"""Generation's forward pass: new tokens over a key/value cache, layers unrolled."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from waltzjax.model.architecture import ModelConfig
from waltzjax.model.rope import rope_frequencies
from waltzjax.model.transformer import Block, RMSNorm


class Cache(NamedTuple):
    """Keys and values of past positions, a tuple over layers of arrays [B, S, J, C]."""

    k: tuple[jax.Array, ...]
    v: tuple[jax.Array, ...]


def empty_cache(cfg: ModelConfig, rows: int, positions: int) -> Cache:
    shape = (rows, positions, cfg.kv_heads, cfg.head_dim)
    zeros = partial(jnp.zeros, shape, cfg.dtype)
    return Cache(*(tuple(zeros() for _ in range(cfg.layers)) for _ in range(2)))


def unstack_layers(cfg: ModelConfig, params) -> Any:
    """Parameters with ``layers`` as a list: slice once, outside a decoding loop, not in it."""
    layers = [jax.tree.map(lambda a, i=i: a[i], params["layers"]) for i in range(cfg.layers)]
    return {**params, "layers": layers}


def cached_hidden_states(
    cfg: ModelConfig, params, token_BT, position_BT, cache: Cache, length_B=None
):
    """Hidden states [B, T, D] of new tokens at ``position_BT``, given the cache; the new cache.

    With ``length_B`` the tokens are whole rows, from position 0 on, right-padded: they see one
    another, not the cache. ``params`` come from ``unstack_layers``. A position beyond the cache is
    not written.
    """
    x_BTD = params["embed"][token_BT].astype(cfg.dtype)
    angle_BTc = position_BT[:, :, None] * rope_frequencies(cfg)
    keys, values = [], []
    for layer, *kv in zip(params["layers"], cache.k, cache.v, strict=True):
        x_BTD, (k, v) = Block(cfg).apply(
            {"params": layer}, x_BTD, angle_BTc, length_B, kv, position_BT
        )
        keys.append(k)
        values.append(v)
    x_BTD = RMSNorm(cfg).apply({"params": params["final_norm"]}, x_BTD)
    return x_BTD, Cache(tuple(keys), tuple(values))
